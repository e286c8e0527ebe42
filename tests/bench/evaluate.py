#!/usr/bin/env python3
"""Tokens per second of `qcqa evaluate` beside transformers: the same model, tokens and threads, runs alternating.

    evaluate.py MODEL [--threads N] [--documents N] [--repeat N]

Needs an interpreter with tests/interop/requirements.txt (tests/bench/run.sh makes one). Both predict every token of the
same documents (random ids; lengths between a quarter of the context and all of it) in float32. Reading and widening the
weights counts for qcqa and not for transformers, which gets the documents sorted by length, in batches of the better of
two sizes. `cpu` is seconds of all threads: it tells a slow program from a busy machine.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time


def write_documents(path, count, context, vocabulary):
    generator = random.Random(7)
    with open(path, "w", encoding="ascii") as stream:
        for _ in range(count):
            length = generator.randint(context // 4, context)
            stream.write(json.dumps([generator.randrange(3, vocabulary) for _ in range(length)]) + "\n")


def run_transformers(model, documents, threads, batch):
    """In a process of its own: prints one JSON line."""
    import torch
    import transformers

    torch.set_num_threads(threads)
    rows = sorted((json.loads(line) for line in open(documents, encoding="ascii")), key=len, reverse=True)
    network = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    tokens, loss = 0, 0.0
    begin, cpu = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        for first in range(0, len(rows), batch):
            some = rows[first : first + batch]
            ids = torch.zeros(len(some), len(some[0]), dtype=torch.long)
            mask = torch.zeros_like(ids)
            for row, document in enumerate(some):
                ids[row, : len(document)] = torch.tensor(document)
                mask[row, : len(document)] = 1
            padded = bool((mask == 0).any())
            logits = network(input_ids=ids, attention_mask=mask if padded else None, use_cache=False).logits[:, :-1]
            losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
            scored = mask[:, 1:].flatten()
            tokens += int(scored.sum())
            loss += float((losses * scored).sum())
    print(json.dumps({"tokens_per_second": tokens / (time.perf_counter() - begin), "tokens": tokens,
                      "cpu": time.process_time() - cpu, "cross_entropy": loss / tokens}))


def timed(command, environment):
    """The JSON that a command prints, with the processor time it took as `cpu` unless it says so itself."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}")
    return {"cpu": usage.ru_utime + usage.ru_stime, **json.loads(text)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--binary", default="build/release/qcqa")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--transformers", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.transformers:
        run_transformers(options.model, options.transformers, options.threads, options.batches[0])
        return

    config = json.loads((options.model / "config.json").read_text())
    context = min(options.context, config["max_position_embeddings"])
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads), "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        documents = pathlib.Path(folder) / "documents.jsonl"
        write_documents(documents, options.documents, context, config["vocab_size"])
        commands = {"qcqa evaluate": [options.binary, "evaluate", options.model, "--token-ids", documents, "--context",
                                      str(context), "-j", str(options.threads), "--json", "-", "-q"]}
        for batch in options.batches:
            commands[f"transformers, batches of {batch}"] = [
                sys.executable, __file__, options.model, "--threads", str(options.threads), "--batches", str(batch),
                "--transformers", documents]
        results = {name: [] for name in commands}
        for _ in range(options.repeat):
            for name, command in commands.items():
                results[name].append(timed(command, environment))
    ours = results["qcqa evaluate"][0]
    theirs = results[f"transformers, batches of {options.batches[0]}"][0]
    print(f"{options.model}: {ours['tokens']} tokens, {options.threads} thread(s), best of {options.repeat}, load "
          f"{os.getloadavg()[0]:.1f}; cross-entropy {ours['cross_entropy']:.5f} and {theirs['cross_entropy']:.5f}")
    print(f"{'':32}{'tokens/s':>10}{'ratio':>8}{'cpu':>9}{'ratio':>8}")
    best = {name: (max(r["tokens_per_second"] for r in runs), min(r["cpu"] for r in runs)) for name, runs in results.items()}
    speed, cpu = best["qcqa evaluate"]
    for name, (other_speed, other_cpu) in best.items():
        print(f"{name:32}{other_speed:10.0f}{speed / other_speed:8.2f}{other_cpu:9.2f}{other_cpu / cpu:8.2f}")


if __name__ == "__main__":
    main()
