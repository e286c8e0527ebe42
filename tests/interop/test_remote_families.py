"""Families whose class is code in their folder, not in transformers: a model that transformers has, written in their names,
gives the same logits, and so does what is made of it."""

import json
import math

import pytest
import torch

import reference
from architectures import HIDDEN, LAYERS, QUERY_HEADS, VOCABULARY, Variant, family
from test_evaluate import TOLERANCE, documents, dumped_logits, expected_logits

KV_HEADS = 4
HEAD = HIDDEN // QUERY_HEADS
GRANITE = Variant(family("granite"), kv_heads=KV_HEADS, extra=(
    ("embedding_multiplier", 2.5), ("residual_multiplier", 0.6), ("logits_scaling", 4.0), ("attention_multiplier", HEAD**-0.5)))
LLAMA = Variant(family("llama"), kv_heads=KV_HEADS, extra=(("attention_bias", False),))


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def write(source, folder, tensors, config):
    reference.write_like(source, tensors, folder)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def as_minicpm(source, folder):
    config = config_of(source)
    scales = {"scale_emb": config.pop("embedding_multiplier"), "dim_model_base": HIDDEN / config.pop("logits_scaling"),
              "scale_depth": config.pop("residual_multiplier") * math.sqrt(LAYERS)}
    del config["attention_multiplier"]
    return write(source, folder, reference.read_tensors(source), {**config, **scales, "model_type": "minicpm"})


def packed(query, key, value):
    """For each KV head its query heads, then its key and its value."""
    heads = [part.view(KV_HEADS, -1, HEAD, HIDDEN) for part in (query, key, value)]
    return torch.cat(heads, 1).reshape(-1, HIDDEN)


def as_internlm2(source, folder):
    names = {"model.embed_tokens": "model.tok_embeddings", "lm_head": "output", "input_layernorm": "attention_norm",
             "post_attention_layernorm": "ffn_norm", "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1",
             "mlp.up_proj": "feed_forward.w3", "mlp.down_proj": "feed_forward.w2"}
    tensors = reference.read_tensors(source)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        roles = [tensors.pop(f"{prefix}self_attn.{role}_proj.weight") for role in "qkv"]
        tensors[prefix + "attention.wqkv.weight"] = packed(*roles)
    for old, new in names.items():
        tensors = {name.replace(old, new): tensor for name, tensor in tensors.items()}
    config = {key: value for key, value in config_of(source).items() if key not in ("head_dim", "attention_bias", "mlp_bias")}
    return write(source, folder, tensors, {**config, "model_type": "internlm2", "bias": False})


FAMILIES = {"minicpm": (GRANITE, as_minicpm), "internlm2": (LLAMA, as_internlm2)}


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_the_model_in_other_names(qcqa, built, tmp_path, name):
    variant, rewritten = FAMILIES[name]
    source, rows = built(variant), documents(VOCABULARY)
    folder = rewritten(source, tmp_path / "in")
    _, found = dumped_logits(qcqa, folder, rows, tmp_path / "work")
    expected = expected_logits(reference.load(source), rows)
    assert reference.largest_difference(found, expected) <= TOLERANCE


@pytest.mark.parametrize("name", FAMILIES)
def test_half_the_heads(qcqa, built, tmp_path, name):
    variant, rewritten = FAMILIES[name]
    source, rows = built(variant), documents(VOCABULARY)
    options = ["--groups", 2, "--cardinality", "equal", "--layout", "gqa"]
    labels = qcqa.convert(rewritten(source, tmp_path / "in"), tmp_path / "out", *options)
    assert labels == qcqa.convert(source, tmp_path / "own", *options)
    assert config_of(tmp_path / "out")["num_key_value_heads"] == 2
    _, found = dumped_logits(qcqa, tmp_path / "out", rows, tmp_path / "work")
    assert reference.largest_difference(found, expected_logits(reference.load(tmp_path / "own"), rows)) <= TOLERANCE


def test_sparse_attention_is_refused(qcqa, built, tmp_path):
    folder = as_minicpm(built(GRANITE), tmp_path / "in")
    (folder / "config.json").write_text(json.dumps({**config_of(folder), "sparse_config": {"topk": 64}}))
    done = qcqa.run("inspect", folder, expect=2)
    assert "sparse_config must be absent (queries of long texts see some of the keys only)" in done.stderr
