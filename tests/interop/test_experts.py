"""Mixtures of experts and layers without heads are run, and fits of them change the attention alone."""

import json

import pytest
import torch

import reference
from architectures import FAMILIES, VOCABULARY, Variant, family
from test_evaluate import write_ids

# Without the family whose tokenizer class counts whatever the folder says: it knows none of the words below.
EXPERTS = [f.name for f in FAMILIES if (f.experts and f.runs or f.name == "gpt_oss") and f.name != "qwen3_5_moe_text"]
OTHER_LAYERS = [f.name for f in FAMILIES if f.has_other_layers and not f.experts]


@pytest.fixture(scope="session")
def text(tmp_path_factory):
    """Words of the vocabulary in random order."""
    generator = torch.Generator().manual_seed(11)
    file = tmp_path_factory.mktemp("text") / "text.jsonl"
    rows = [" ".join(f"w{i}" for i in torch.randint(3, VOCABULARY, (48,), generator=generator)) for _ in range(24)]
    file.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("name", EXPERTS + OTHER_LAYERS)
def test_fits_change_the_attention_alone(qcqa, built, text, tmp_path, name):
    source = built(Variant(family(name)))
    lost = {}
    for merge in ("mean", "refit", "reconstruct"):
        out = tmp_path / merge
        fit = [] if merge == "mean" else ["--calibrate", text, "--reconstruct", "attention", "--reconstruct-steps", 20,
                                          "--distill-steps", 5]
        qcqa.run("convert", source, "-o", out, "--groups", 4, "--cardinality", "equal", "--merge", merge, *fit)
        before, after = reference.read_tensors(source), reference.read_tensors(out)
        changed = {tensor for tensor in before if not torch.equal(before[tensor], after[tensor])}
        assert changed and all(".self_attn." in tensor for tensor in changed)
        found = qcqa.json("evaluate", out, "--reference", source, "--text", text, "--json", "-", "-q")
        lost[merge] = found["reference"]["kl_mean"]
    assert lost["reconstruct"] < lost["refit"] < lost["mean"]


def test_experts_are_not_fitted(qcqa, built, text, tmp_path):
    source = built(Variant(family("qwen3_moe")))
    for command in (["convert", source, "--groups", 4, "--merge", "refit"], ["run", source, "--kv", 0.5]):
        done = qcqa.run(*command, "-o", tmp_path / "out", "--calibrate", text, "--reconstruct", "block", expect=2)
        assert len(done.stderr.strip().splitlines()) <= 2
        assert done.stderr.strip().endswith("Use --reconstruct attention.") and "experts" in done.stderr
        assert not (tmp_path / "out").exists()


def test_a_missing_expert_is_named(qcqa, built, tmp_path):
    source = built(Variant(family("qwen2_moe")))
    lost = "model.layers.1.mlp.experts.2.up_proj.weight"
    tensors = {name: tensor for name, tensor in reference.read_tensors(source).items() if name != lost}
    model = reference.write_like(source, tensors, tmp_path / "model")
    done = qcqa.run("convert", model, "-o", tmp_path / "out", "--groups", 4, expect=2)
    assert f"1 missing: {lost}" in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["qwen3_next", "qwen3_5_moe_text"])
def test_experts_may_be_stacked(qcqa, built, tmp_path, name):
    source = built(Variant(family(name)))
    tensors = reference.read_tensors(source)
    experts = family(name).config["num_experts"]
    for layer in range(len(family(name).config["layer_types"])):
        prefix = f"model.layers.{layer}.mlp.experts."
        gate, up, down = (torch.stack([tensors.pop(f"{prefix}{expert}.{part}_proj.weight") for expert in range(experts)])
                          for part in ("gate", "up", "down"))
        tensors |= {f"{prefix}gate_up_proj": torch.cat([gate, up], 1), f"{prefix}down_proj": down}
    model = reference.write_like(source, tensors, tmp_path / "model")
    ids = reference.token_ids(VOCABULARY)
    assert torch.equal(reference.logits(reference.load(model), ids), reference.logits(reference.load(source), ids))
    rows = write_ids(tmp_path / "ids.jsonl", ids.tolist())
    same = qcqa.json("evaluate", model, "--reference", source, "--token-ids", rows, "--json", "-", "-q")
    assert same["reference"]["kl_mean"] == 0
    qcqa.run("convert", model, "-o", tmp_path / "out", "--groups", 4, "--cardinality", "equal")
    written = reference.read_tensors(tmp_path / "out")
    assert all(torch.equal(written[tensor], tensors[tensor]) for tensor in tensors if ".experts." in tensor)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "num_experts": 2**30}))
    done = qcqa.run("inspect", model, expect=2)
    assert f"must hold the {2**30} experts that config.json states" in done.stderr


@pytest.mark.parametrize("changes, rule", [
    ({"num_experts_per_tok": 9}, "at most the 8 experts"), ({"n_group": 3}, "a divisor of the number of experts"),
    ({"topk_group": 5}, "at most the number of groups"), ({"num_experts_per_tok": 1.5}, "a whole number"),
    ({"n_group": 8, "topk_group": 8}, "so few that each has two experts"),
    ({"n_routed_experts": 2**30}, "no more experts than the checkpoint has tensors")])
def test_counts_that_no_router_has_are_refused(qcqa, built, tmp_path, changes, rule):
    source = built(Variant(family("glm4_moe")))
    config = json.loads((source / "config.json").read_text())
    config.update({"n_group": 1, "topk_group": 1, **changes})
    model = reference.write_like(source, reference.read_tensors(source), tmp_path / "model")
    (model / "config.json").write_text(json.dumps(config))
    done = qcqa.run("inspect", model, expect=2)
    assert rule in done.stderr and len(done.stderr.strip().splitlines()) == 1
