"""Checks vLLM on the CPU: run by tests/interop/vllm.sh in vLLM's environment, as `run_vllm.py QCQA MODEL`.

Converts MODEL five ways (all heads; half of them, unequal groups padded; a plan per layer, in both of vLLM's layouts for
such), and compares for each: prompt log-probabilities with those of `qcqa evaluate`, and vLLM's KV capacity with the one of
the whole model. Then a tiny model of every family that --layout remote-code takes, per layer: log-probabilities only, since
their contexts are shorter than a block of vLLM's cache; and one with padded heads in --layout nemotron-nas.
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
ENGINE = dict(enforce_eager=True, dtype="float32", skip_tokenizer_init=True, trust_remote_code=True, max_num_seqs=4,
              disable_log_stats=True)
CONTEXT = 256  # of MODEL
TINY_CONTEXT = 64
# Sizes of heads that vLLM's attention has on a CPU; scales of logits as real models have them.
TINY = {"hidden_size": 256, "head_dim": 32, "query_pre_attn_scalar": 20, "logits_scaling": 4.0}


def perplexity(engine, rows):
    from vllm import SamplingParams

    sampling = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, detokenize=False)
    losses = []
    for output in engine.generate([{"prompt_token_ids": row} for row in rows], sampling, use_tqdm=False):
        for token, entry in zip(output.prompt_token_ids[1:], output.prompt_logprobs[1:]):
            losses.append(-entry[token].logprob)
    return math.exp(sum(losses) / len(losses))


def probe(rows_file, result_file, context, *folders):
    """Appends a line to the result for each folder: what vLLM says of it, or how it failed."""
    import gc

    from vllm import LLM
    from vllm.distributed import cleanup_dist_env_and_memory

    rows = json.loads(pathlib.Path(rows_file).read_text())
    for folder in folders:
        engine = None
        try:
            engine = LLM(model=folder, max_model_len=int(context), **ENGINE)
            found = {"perplexity": perplexity(engine, rows),
                     "capacity": engine.llm_engine.vllm_config.cache_config.kv_cache_size_tokens}
        except Exception as error:
            found = {"failed": f"{type(error).__name__}: {error}"}
        with open(result_file, "a") as results:
            results.write(json.dumps(found) + "\n")
        engine = None
        gc.collect()
        cleanup_dist_env_and_memory()


def run_probe(folders, work, rows_file, context):
    """What vLLM says of each of the folders, in a process that ends with them: vLLM does not give all memory back."""
    result = work / "result.jsonl"
    result.unlink(missing_ok=True)
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1",
                   "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, __file__, "--probe", rows_file, result, str(context), *folders],
                          capture_output=True, text=True, env=environment)
    lines = result.read_text().splitlines() if result.exists() else []
    if done.returncode != 0 or len(lines) != len(folders):
        sys.exit(f"vLLM failed on {folders[len(lines) - len(folders)]}:\n{(done.stdout + done.stderr)[-6000:]}")
    return [json.loads(line) for line in lines]


def claimed_fraction(folder):
    card = (folder / "README.md").read_text()
    before, after = re.search(r"\| KV cache per token \| (\d+) bytes \| (\d+) bytes", card).groups()
    return int(after) / int(before)


class Check:
    def __init__(self, binary, work, rows):
        self.binary, self.work, self.rows_file, self.failed = binary, work, work / "rows.json", False
        self.rows_file.write_text(json.dumps(rows))
        (work / "ids.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def qcqa(self, *arguments):
        done = subprocess.run([self.binary, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"qcqa {' '.join(map(str, arguments))}:\n{done.stderr}")
        return done.stdout

    def expected(self, model, name, plan, context):
        """The perplexity of the same plan in the original's shape."""
        folder = self.work / f"{name}-expanded"
        self.qcqa("convert", model, "-o", folder, *plan, "--layout", "expanded")
        said = self.qcqa("evaluate", folder, "--token-ids", self.work / "ids.jsonl", "--context", context, "--json", "-", "-q")
        return json.loads(said)["perplexity"]

    def line(self, name, found, expected, good=True, more=""):
        if "failed" in found:
            good, said = False, found["failed"][:300]
        else:
            good = good and abs(found["perplexity"] / expected - 1) < 0.001
            said = f"perplexity {found['perplexity']:.4f} (qcqa evaluate {expected:.4f}){more}"
        self.failed = self.failed or not good
        print(f"  {name:16} {said}{'' if good else '  WRONG'}", flush=True)


def check_model(binary, model, work):
    vocabulary = json.loads(pathlib.Path(model, "config.json").read_text())["vocab_size"]
    # Any tokens serve: both sides score the same ones.
    check = Check(binary, work, [[(7 * i * i + 13 * j + 3) % (vocabulary - 3) + 3 for i in range(200)] for j in range(4)])
    reports = {kind: work / f"{kind}.json" for kind in ("both", "equal")}
    for kind, report in reports.items():
        check.qcqa("search", model, "-o", report, "--target", "vllm", "--cardinality", kind, "-q")
    heads = max(json.loads(reports["both"].read_text())["front"][0]["groups"])
    plans = {"all": (["--groups", heads], "--target", "vllm"),
             "unequal": (["--groups", max(1, heads // 2), "--cardinality", "arbitrary"], "--target", "vllm"),
             "per-layer": (["--report", reports["both"], "--kv", 0.6], "--target", "vllm"),
             "equal-per-layer": (["--report", reports["equal"], "--kv", 0.6], "--target", "vllm"),
             # The same plan in both layouts: what --target would not choose.
             "remote-code": (["--report", reports["equal"], "--kv", 0.6], "--layout", "remote-code")}
    whole = None
    for name, (plan, *layout) in plans.items():
        check.qcqa("convert", model, "-o", work / name, *plan, *layout)
        expected = check.expected(model, name, plan, CONTEXT)
        found, = run_probe([work / name], work, check.rows_file, CONTEXT)
        if "failed" in found:
            check.line(name, found, expected)
            continue
        whole = whole or found["capacity"]
        fraction = claimed_fraction(work / name)
        # Blocks of many tokens: the ratio is exact up to their rounding.
        good = abs(found["capacity"] * fraction / whole - 1) < 0.01
        architecture = json.loads((work / name / "config.json").read_text())["architectures"][0]
        check.line(name, found, expected, good,
                   f", KV capacity {found['capacity']} tokens, {found['capacity'] / whole:.3f} times "
                   f"(claimed {1 / fraction:.3f}), {architecture}")
    return check.failed


def check_families(binary, work):
    import transformers

    sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
    from architectures import FAMILIES, VOCABULARY, Variant, build

    transformers.utils.logging.disable_progress_bar()
    work.mkdir()
    check = Check(binary, work, [[(7 * i * i + 13 * j + 3) % (VOCABULARY - 3) + 3 for i in range(60)] for j in range(4)])
    expected = {}

    def convert(name, source, plan, layout):
        check.qcqa("convert", source, "-o", work / name, *plan, "--layout", layout)
        expected[name] = check.expected(source, name, plan, TINY_CONTEXT)
        return json.loads((work / name / "config.json").read_text())

    for family in FAMILIES:
        if not family.grouped or not family.runs or family.experts or family.renamed:
            continue
        if family.name not in transformers.CONFIG_MAPPING:
            print(f"  {family.name:16} not tried: vLLM's transformers does not have it")
            continue
        stated = ("hidden_size", "logits_scaling") if family.name in ("granite", "hyperclovax") else ("hidden_size",)
        extra = tuple((key, value) for key, value in TINY.items() if key in stated or key in family.config)
        source, report = build(Variant(family, extra=extra), work / f"{family.name}-source"), work / f"{family.name}.json"
        check.qcqa("search", source, "-o", report, "--target", "vllm", "-q")
        config = convert(family.name, source, ["--report", report, "--kv", 0.6], "remote-code")
        if len(set(config["kv_heads_per_layer"])) == 1:
            sys.exit(f"{family.name}: the same group count in all layers proves little")
    # Padded heads, and the MLP's own width, which no ffn_mult states.
    config = convert("nemotron-nas", work / "mistral-source", ["--groups", 3, "--cardinality", "arbitrary"], "nemotron-nas")
    if config["block_configs"][0]["ffn"].get("intermediate_size") != config["intermediate_size"]:
        sys.exit("nemotron-nas: the MLP has been padded")
    folders = [work / name for name in expected]
    for (name, value), found in zip(expected.items(), run_probe(folders, work, check.rows_file, TINY_CONTEXT)):
        check.line(name, found, value)
    return check.failed


def main(binary, model):
    from importlib.metadata import version

    work = pathlib.Path(tempfile.mkdtemp(prefix="qcqa-vllm-"))
    print(f"vLLM {version('vllm-cpu')}, transformers {version('transformers')}, {model}")
    failed = check_model(binary, model, work)
    print("a tiny model of each family, --layout remote-code, and one with --layout nemotron-nas")
    failed = check_families(str(pathlib.Path(binary).resolve()), work / "families") or failed
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    if sys.argv[1] == "--probe":
        probe(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
