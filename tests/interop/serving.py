"""What the tests of serving runtimes share: plans of every kind, and what a runtime must agree with."""

import json
import math
import pathlib
import shutil

import numpy
import safetensors.torch
import torch

from architectures import VOCABULARY

# Kind of plan -> how it is asked for. A point of the front has other group counts in other layers.
PLANS = {
    "uniform": ["--groups", 4, "--cardinality", "equal"],
    "contiguous": ["--groups", 4, "--cardinality", "contiguous"],
    "unequal": ["--groups", 3, "--cardinality", "arbitrary"],
    "unequal-two": ["--groups", 2, "--cardinality", "arbitrary"],  # 2 x places divides every hidden size here
    "per-layer": ["--kv", 0.6],
    "equal-per-layer": ["--kv", 0.6],  # of a search among equal groups
}


def documents(lengths=(40, 3, 17, 40, 2, 64), vocabulary=VOCABULARY, seed=5):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, vocabulary, (length,), generator=generator).tolist() for length in lengths]


def without_tokenizer(source, folder):
    """A copy of a model folder without its tokenizer, which in a test model is of a kind that few runtimes read."""
    shutil.copytree(source, folder)
    for file in [*folder.glob("*token*"), folder / "chat_template.jinja"]:
        file.unlink(missing_ok=True)
    return folder


def convert(qcqa, source, out, plan, *options, expect=0):
    arguments = list(PLANS[plan])
    if "--kv" in arguments:
        report = out.parent / f"{plan}.report.json"
        if not report.exists():
            kind = "equal" if plan.startswith("equal") else "both"
            qcqa.run("search", source, "-o", report, "--cardinality", kind, "-q")
        arguments += ["--report", report]
    return qcqa.run("convert", source, "-o", out, *arguments, *options, expect=expect)


def claimed_kv_bytes(folder):
    """Bytes of KV cache per token in the model's own type, as the model card states them."""
    for line in (pathlib.Path(folder) / "README.md").read_text().splitlines():
        if line.startswith("| KV cache per token |"):
            return int(line.split("|")[3].split()[0])
    raise AssertionError(f"{folder}: the card says nothing of the KV cache")


def evaluated(qcqa, model, rows, folder):
    """What `qcqa evaluate` says of a model: its result, and the logits of all positions."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = folder / "ids.jsonl"
    ids.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = qcqa.json("evaluate", model, "--token-ids", ids, "--context", max(map(len, rows)), "--json", "-", "-q",
                       "--dump-logits", folder / "logits")
    return result, safetensors.torch.load_file(folder / "logits/model.safetensors")["logits"].numpy()


def perplexity(logits, rows):
    total, count, at = 0.0, 0, 0
    for row in rows:
        scores = torch.log_softmax(torch.tensor(numpy.asarray(logits[at : at + len(row) - 1])).double(), -1)
        total -= float(scores.gather(-1, torch.tensor(row[1:])[:, None]).sum())
        count, at = count + len(row) - 1, at + len(row)
    return math.exp(total / count)
