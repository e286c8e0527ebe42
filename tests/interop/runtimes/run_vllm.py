"""Checks vLLM on the CPU: run by tests/interop/vllm.sh in vLLM's environment, as `run_vllm.py QCQA MODEL`.

Converts MODEL three ways (all heads; half of them, unequal groups padded; a plan per layer), and compares for each:
prompt log-probabilities with those of `qcqa evaluate`, and vLLM's KV capacity with the one of the whole model.
"""

import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# `qcqa evaluate` computes in float32, and so does this.
ENGINE = dict(enforce_eager=True, dtype="float32", skip_tokenizer_init=True, trust_remote_code=True, max_model_len=256,
              max_num_seqs=4, disable_log_stats=True)


def probe(folder, rows_file, result_file):
    """In a process of its own: vLLM does not give an engine's memory back."""
    from vllm import LLM, SamplingParams

    rows = json.loads(pathlib.Path(rows_file).read_text())
    engine = LLM(model=folder, **ENGINE)
    sampling = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False)
    losses = []
    for output in engine.generate([{"prompt_token_ids": row} for row in rows], sampling, use_tqdm=False):
        for token, entry in zip(output.prompt_token_ids[1:], output.prompt_logprobs[1:]):
            losses.append(-entry[token].logprob)
    pathlib.Path(result_file).write_text(json.dumps({"perplexity": math.exp(sum(losses) / len(losses)), "tokens": len(losses)}))


def run_probe(folder, work, rows_file):
    result = work / "result.json"
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1",
                   "VLLM_LOGGING_LEVEL": "INFO", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, __file__, "--probe", folder, rows_file, result], capture_output=True, text=True,
                          env=environment)
    log = done.stdout + done.stderr
    if done.returncode != 0:
        sys.exit(f"vLLM failed on {folder}:\n{log[-6000:]}")
    capacity = re.search(r"KV cache size: ([\d,]+) tokens", log)
    if not capacity:
        sys.exit(f"vLLM said nothing of its KV cache:\n{log[-6000:]}")
    return {**json.loads(result.read_text()), "capacity": int(capacity[1].replace(",", ""))}


def claimed_fraction(folder):
    card = (folder / "README.md").read_text()
    before, after = re.search(r"\| KV cache per token \| (\d+) bytes \| (\d+) bytes", card).groups()
    return int(after) / int(before)


def main(binary, model):
    from importlib.metadata import version

    work = pathlib.Path(tempfile.mkdtemp(prefix="qcqa-vllm-"))
    qcqa = lambda *arguments: subprocess.run([binary, *map(str, arguments)], check=True, capture_output=True, text=True).stdout
    vocabulary = json.loads(pathlib.Path(model, "config.json").read_text())["vocab_size"]
    # Any tokens serve: both sides score the same ones.
    rows = [[(7 * i * i + 13 * j + 3) % (vocabulary - 3) + 3 for i in range(200)] for j in range(4)]
    (work / "rows.json").write_text(json.dumps(rows))
    (work / "ids.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    qcqa("search", model, "-o", work / "report.json", "--target", "vllm", "-q")
    front = json.loads((work / "report.json").read_text())["front"]
    half = max(1, max(front[0]["groups"]) // 2)
    plans = {"all": ["--groups", max(front[0]["groups"])], "unequal": ["--groups", half, "--cardinality", "arbitrary"],
             "per-layer": ["--report", work / "report.json", "--kv", 0.6]}
    print(f"vLLM {version('vllm-cpu')}, {model}")
    whole = None
    failed = False
    for name, plan in plans.items():
        qcqa("convert", model, "-o", work / name, *plan, "--target", "vllm")
        qcqa("convert", model, "-o", work / f"{name}-expanded", *plan, "--layout", "expanded")
        expected = json.loads(qcqa("evaluate", work / f"{name}-expanded", "--token-ids", work / "ids.jsonl", "--context", 256,
                                   "--json", "-", "-q"))["perplexity"]
        found = run_probe(work / name, work, work / "rows.json")
        whole = whole or found["capacity"]
        fraction = claimed_fraction(work / name)
        # Blocks of many tokens: the ratio is exact up to their rounding.
        good = (abs(found["perplexity"] / expected - 1) < 0.005 and abs(found["capacity"] * fraction / whole - 1) < 0.01)
        failed = failed or not good
        architecture = json.loads((work / name / "config.json").read_text())["architectures"][0]
        print(f"  {name:10} {architecture:22} perplexity {found['perplexity']:.4f} (qcqa evaluate {expected:.4f}), "
              f"KV capacity {found['capacity']} tokens, {found['capacity'] / whole:.3f} times (claimed {1 / fraction:.3f})"
              f"{'' if good else '  WRONG'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if sys.argv[1] == "--probe":
        probe(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
