#!/usr/bin/env python3
"""What `--merge reconstruct` costs: seconds per layer and per step, beside a plain forward and backward pass of as many
tokens through the same layers in transformers. Runs alternate; the least of each counts.

    merge.py MODEL [--threads N] [--tokens N] [--steps N] [--repeat N]

Needs an interpreter with tests/interop/requirements.txt (tests/bench/run.sh makes one). A step is told from the rest by
running with a few steps and with --steps more.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

JUDGEMENTS = 8  # times that qcqa looks at held-back text in a run of at least so many steps


def plain_pass(model, threads, tokens):
    """In a process of its own: prints the seconds of a forward and backward pass per layer."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).model
    ids = torch.randint(3, network.config.vocab_size, (tokens // 256, 256))
    embedded = network.embed_tokens(ids).detach()
    network.embed_tokens.requires_grad_(False)
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        network(inputs_embeds=embedded, use_cache=False).last_hidden_state.square().mean().backward()
        seconds.append(time.perf_counter() - begin)
        network.zero_grad()
    print(json.dumps(min(seconds) / network.config.num_hidden_layers))


def reconstruct(options, steps, folder):
    """Seconds that the merge took, sampling not counted, and its number of layers."""
    command = [options.binary, "convert", options.model, "-o", folder, "--force", "-q", "--merge", "reconstruct",
               "--reconstruct-steps", steps, "--distill-steps", 0,
               "--calibrate", "self", "--calibration-tokens", options.tokens,
               "--groups", options.groups, "-j", options.threads]
    result = subprocess.run([str(word) for word in command], stdout=subprocess.DEVNULL, check=False)
    if result.returncode != 0:
        sys.exit(f"{command}: exit code {result.returncode}")
    merge = json.loads((folder / "qcqa-report.json").read_text())["merge"]
    return merge["seconds"], len(merge["layers"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--binary", default="build/release/qcqa")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--step-tokens", type=int, default=512, help="what a step of qcqa takes")
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plain:
        plain_pass(options.model, options.threads, options.step_tokens)
        return
    config = json.loads((options.model / "config.json").read_text())
    options.groups = max(1, config.get("num_key_value_heads", config["num_attention_heads"]) // 2)
    few, many, plain = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeat):
            seconds, layers = reconstruct(options, JUDGEMENTS, pathlib.Path(folder) / "out")
            few.append(seconds / layers)
            seconds, _ = reconstruct(options, JUDGEMENTS + options.steps, pathlib.Path(folder) / "out")
            many.append(seconds / layers)
            text = subprocess.run([sys.executable, __file__, options.model, "--plain", "--threads", str(options.threads),
                                   "--step-tokens", str(options.step_tokens)], capture_output=True, check=True).stdout
            plain.append(json.loads(text))
    step = (min(many) - min(few)) / options.steps
    print(f"{options.model.name}, {options.threads} thread(s), {options.tokens} calibration tokens, "
          f"{options.step_tokens} tokens per step")
    print(f"  per layer without steps   {min(few) - JUDGEMENTS * step:8.2f} s")
    print(f"  per layer and step        {step:8.4f} s")
    print(f"  plain forward + backward  {min(plain):8.4f} s  (transformers, one layer, as many tokens)")
    print(f"  a step against it         {step / min(plain):8.2f}x")


if __name__ == "__main__":
    main()
