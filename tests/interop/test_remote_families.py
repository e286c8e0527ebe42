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
LLAMA_MHA = Variant(family("llama"), extra=(("attention_bias", False),))


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


def as_baichuan(source, folder, falls=False, unit_rows=False):
    """Baichuan-7B; `falls`: 13B, whose scores fall with distance and which has another key for its length; `unit_rows`:
    Baichuan2, which takes the rows of the output matrix at a length of 1."""
    tensors = reference.read_tensors(source)
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}.self_attn."
        tensors[prefix + "W_pack.weight"] = torch.cat([tensors.pop(f"{prefix}{role}_proj.weight") for role in "qkv"])
    read = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "hidden_act",
            "rms_norm_eps", "tie_word_embeddings", "max_position_embeddings")
    config = {key: value for key, value in config_of(source).items() if key in read}
    if falls:
        config["model_max_length"] = config.pop("max_position_embeddings")
    if unit_rows:
        config["z_loss_weight"] = 0
    return write(source, folder, tensors, {**config, "model_type": "baichuan"})


# The layout: the class of baichuan has no key for KV heads.
FAMILIES = {"minicpm": (GRANITE, as_minicpm, "gqa"), "internlm2": (LLAMA, as_internlm2, "gqa"),
            "baichuan": (LLAMA_MHA, as_baichuan, "expanded")}


@pytest.mark.parametrize("name", FAMILIES)
def test_logits_are_those_of_the_model_in_other_names(qcqa, built, tmp_path, name):
    variant, rewritten, _ = FAMILIES[name]
    source, rows = built(variant), documents(VOCABULARY)
    folder = rewritten(source, tmp_path / "in")
    _, found = dumped_logits(qcqa, folder, rows, tmp_path / "work")
    expected = expected_logits(reference.load(source), rows)
    assert reference.largest_difference(found, expected) <= TOLERANCE


@pytest.mark.parametrize("name", FAMILIES)
def test_half_the_heads(qcqa, built, tmp_path, name):
    variant, rewritten, layout = FAMILIES[name]
    source, rows = built(variant), documents(VOCABULARY)
    options = ["--groups", 2, "--cardinality", "equal", "--layout", layout]
    labels = qcqa.convert(rewritten(source, tmp_path / "in"), tmp_path / "out", *options)
    assert labels == qcqa.convert(source, tmp_path / "own", *options)
    assert layout != "gqa" or config_of(tmp_path / "out")["num_key_value_heads"] == 2
    _, found = dumped_logits(qcqa, tmp_path / "out", rows, tmp_path / "work")
    assert reference.largest_difference(found, expected_logits(reference.load(tmp_path / "own"), rows)) <= TOLERANCE


def falling(length):
    """(1, heads, queries, keys): what scores of Baichuan-13B lose, and what no query sees."""
    keys = torch.arange(length)
    slopes = 2.0 ** -torch.arange(1, QUERY_HEADS + 1)
    mask = (slopes[:, None, None] * keys).expand(-1, length, -1)
    return mask.masked_fill(keys > keys[:, None], float("-inf"))[None]


@pytest.mark.parametrize("unit_rows", [False, True])
@pytest.mark.parametrize("falls", [False, True])
def test_the_codes_of_baichuan(qcqa, built, tmp_path, monkeypatch, falls, unit_rows):
    source, rows = built(LLAMA_MHA), documents(VOCABULARY)
    model = reference.load(source)
    plain = expected_logits(model, rows)
    masks = [falling(len(row)) if falls else None for row in rows]
    if falls:  # and nothing is rotated
        rotary = model.model.rotary_emb.forward
        monkeypatch.setattr(model.model.rotary_emb, "forward", lambda *given, **named: [
            torch.full_like(table, value) for table, value in zip(rotary(*given, **named), (1.0, 0.0), strict=True)])
    if unit_rows:
        model.lm_head.weight.data = torch.nn.functional.normalize(model.lm_head.weight.data)
    with torch.no_grad():
        expected = torch.cat([model(torch.tensor([row]), attention_mask=mask).logits[0]
                              for row, mask in zip(rows, masks, strict=True)])
    assert (reference.largest_difference(expected, plain) > 0.05) == (falls or unit_rows)
    folder = as_baichuan(source, tmp_path / "in", falls, unit_rows)
    _, found = dumped_logits(qcqa, folder, rows, tmp_path / "work")
    assert reference.largest_difference(found, expected) <= TOLERANCE


def test_a_vocabulary_of_baichuan2_without_its_key_is_refused(qcqa, built, tmp_path):
    folder = as_baichuan(built(LLAMA_MHA), tmp_path / "in")
    for change, why in (({"vocab_size": 125696}, 'add "z_loss_weight": 0'), ({"z_loss_weight": 0.1}, "z_loss_weight must be absent")):
        (folder / "config.json").write_text(json.dumps({**config_of(folder), **change}))
        assert why in qcqa.run("inspect", folder, expect=2).stderr


def test_sparse_attention_is_refused(qcqa, built, tmp_path):
    folder = as_minicpm(built(GRANITE), tmp_path / "in")
    (folder / "config.json").write_text(json.dumps({**config_of(folder), "sparse_config": {"topk": 64}}))
    done = qcqa.run("inspect", folder, expect=2)
    assert "sparse_config must be absent (queries of long texts see some of the keys only)" in done.stderr
