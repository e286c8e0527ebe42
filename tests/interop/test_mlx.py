"""mlx-lm on a CPU loads what --target mlx writes, computes what `qcqa evaluate` computes, and its KV cache takes the
bytes that we claim."""

import json

import numpy
import pytest
import sentencepiece

import serving
from architectures import Variant, family
from conftest import plan_labels

TOLERANCE = 2e-3  # float32 logits of order 1
PLAIN = ("attention_bias", False)
MODELS = {
    "llama": Variant(family("llama"), extra=(PLAIN,)),
    "llama-gqa-tied": Variant(family("llama"), kv_heads=4, extra=(PLAIN, ("tie_word_embeddings", True))),
    "llama-biases": Variant(family("llama")),
    "mistral-bf16": Variant(family("mistral"), dtype="bfloat16"),
    "phi3": Variant(family("phi3")),
    "qwen3": Variant(family("qwen3")),
    "qwen2": Variant(family("qwen2")),
}
# model, plan, the layout that --target mlx takes for it
CASES = [("llama", "per-layer", "openelm"), ("llama", "unequal", "openelm"), ("llama", "uniform", "gqa"),
         ("llama-gqa-tied", "per-layer", "openelm"), ("mistral-bf16", "per-layer", "openelm"),
         ("phi3", "per-layer", "openelm"), ("qwen3", "per-layer", "openelm"), ("llama-biases", "equal-per-layer", "nemotron-nas"),
         ("qwen2", "equal-per-layer", "nemotron-nas"), ("llama-biases", "unequal-two", "gqa")]


@pytest.mark.parametrize("name,plan,layout", CASES, ids=lambda value: value)
def test_mlx_equals_evaluate(qcqa, built, runtime, tmp_path, name, plan, layout):
    variant = MODELS[name]
    source = serving.without_tokenizer(built(variant), tmp_path / "in")
    done = serving.convert(qcqa, source, tmp_path / "out", plan, "--target", "mlx")
    assert f"Layout {layout}:" in done.stderr
    serving.convert(qcqa, source, tmp_path / "expanded", plan, "--layout", "expanded")
    assert plan_labels(tmp_path / "out") == plan_labels(tmp_path / "expanded")

    rows = serving.documents()
    expected, logits = serving.evaluated(qcqa, tmp_path / "expanded", rows, tmp_path / "expected")
    found = runtime("mlx").run(tmp_path / "run", model=str(tmp_path / "out"), rows=rows,
                               generate={"prompt": rows[0][:8], "tokens": 8})
    assert serving.perplexity(found["logits"], rows) == pytest.approx(expected["perplexity"], rel=0.005)
    assert float(found["cache_bytes"]) == serving.claimed_kv_bytes(tmp_path / "out")
    if variant.dtype == "float32":
        assert numpy.abs(found["logits"] - logits).max() <= TOLERANCE
        tokens = rows[0][:8] + found["generated"].tolist()
        _, whole = serving.evaluated(qcqa, tmp_path / "expanded", [tokens], tmp_path / "whole")
        assert found["generated"].tolist() == whole[7:-1].argmax(-1).tolist()


def test_plans_that_mlx_cannot_run_are_refused(qcqa, built, tmp_path):
    source = built(MODELS["llama-biases"])
    done = serving.convert(qcqa, source, tmp_path / "out", "per-layer", "--target", "mlx", expect=2)
    message = done.stderr.strip().splitlines()[-1]
    assert "biases" in message and "--uniform" in message and "--layout expanded" in message
    # What a search for the target offers can be converted.
    report = tmp_path / "report.json"
    qcqa.run("search", source, "-o", report, "--target", "mlx", "-q")
    for point, _ in enumerate(json.loads(report.read_text())["front"]):
        qcqa.run("convert", source, "-o", tmp_path / f"out{point}", "--report", report, "--point", point, "--target", "mlx")


def test_real_model(qcqa, runtime, shared, tmp_path):
    source = shared / "models/stories15M"
    qcqa.run("search", source, "-o", tmp_path / "report.json", "-q")
    plan = ["--report", tmp_path / "report.json", "--kv", 0.6]
    qcqa.run("convert", source, "-o", tmp_path / "out", *plan, "--target", "mlx")
    qcqa.run("convert", source, "-o", tmp_path / "expanded", *plan, "--layout", "expanded")
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(source / "tokenizer.model"))
    ids = tokenizer.encode((shared / "data/tinystories_dev.txt").read_text()[:3000])
    rows = [[tokenizer.bos_id(), *ids[at : at + 255]] for at in (0, 255)]
    expected, _ = serving.evaluated(qcqa, tmp_path / "expanded", rows, tmp_path / "expected")
    found = runtime("mlx").run(tmp_path / "run", model=str(tmp_path / "out"), rows=rows)
    assert serving.perplexity(found["logits"], rows) == pytest.approx(expected["perplexity"], rel=0.005)
