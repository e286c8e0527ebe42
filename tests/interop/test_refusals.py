"""Models that no family describes are refused in one line, which says what of theirs stands in the way: here as
transformers itself writes their folders."""

import json
import warnings

import pytest
import torch
import transformers

import reference
from architectures import Variant, family

EDGES = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
         "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "vocab_size": 96, "pad_token_id": 0, "bos_token_id": 1,
         "eos_token_id": 2, "decoder_start_token_id": 1}
GEMMA = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 6, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 8, "vocab_size_per_layer_input": 96, "hidden_size_per_layer_input": 4,
         "layer_types": ["sliding_attention", "sliding_attention", "full_attention"] * 2}
GEMMA3N = {**GEMMA, "laurel_rank": 4, "activation_sparsity_pattern": [0.0] * 6}
GEMMA4 = {**GEMMA, "global_head_dim": 8}
LATENT = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "moe_intermediate_size": 24, "num_hidden_layers": 1,
          "num_attention_heads": 4, "num_key_value_heads": 4, "kv_lora_rank": 8, "q_lora_rank": 8, "qk_nope_head_dim": 8,
          "qk_rope_head_dim": 8, "v_head_dim": 8, "first_k_dense_replace": 1}
ENCODER_DECODER = 'a model must be a decoder by itself; found "{}", with "is_encoder_decoder": true, '
SHARED = 'each layer must have keys and values of its own; found "{}", with "num_kv_shared_layers": 2, '

CASES = [  # model_type, its config, a part of the line
    ("whisper", {**EDGES, "num_mel_bins": 8, "max_source_positions": 16}, ENCODER_DECODER),
    ("bart", EDGES, ENCODER_DECODER),
    ("m2m_100", EDGES, ENCODER_DECODER),
    ("t5", {"vocab_size": 96, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 1, "num_heads": 4}, ENCODER_DECODER),
    ("gemma3n_text", {**GEMMA3N, "num_kv_shared_layers": 2}, SHARED),
    ("gemma4_text", {**GEMMA4, "num_kv_shared_layers": 2}, SHARED),
    ("gemma4_text", {**GEMMA4, "attention_k_eq_v": True}, 'found "{}", with "attention_k_eq_v": true, '),
    ("gemma4_text", {**GEMMA4, "global_head_dim": 16}, 'all layers must have one configuration; found "{}", with "per_layer_config": '),
    ("deepseek_v3", LATENT, 'found "{}", with "kv_lora_rank": 8, '),
]
CLASSES = {"whisper": transformers.AutoModelForSpeechSeq2Seq, "bart": transformers.AutoModelForSeq2SeqLM,
           "m2m_100": transformers.AutoModelForSeq2SeqLM, "t5": transformers.AutoModelForSeq2SeqLM}


def refusal(qcqa, folder):
    """The one line of it."""
    done = qcqa.run("inspect", folder, expect=2)
    lines = done.stderr.splitlines()
    assert done.stdout == "" and len(lines) == 1, done.stderr
    return lines[0].removeprefix(f"qcqa: error: {folder}/config.json: ")


@pytest.mark.parametrize("kind,settings,wanted", CASES, ids=[f"{kind}-{i}" for i, (kind, *_) in enumerate(CASES)])
def test_the_line_says_what_stands_in_the_way(qcqa, tmp_path, kind, settings, wanted):
    config = transformers.AutoConfig.for_model(kind, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CLASSES.get(kind, transformers.AutoModelForCausalLM).from_config(config).save_pretrained(tmp_path / "model")
    line = refusal(qcqa, tmp_path / "model")
    assert wanted.format(kind) in line
    assert len(line) < 300  # no list of all families


def test_a_composite_around_a_known_text_model(qcqa, tmp_path):
    config = {"model_type": "of_its_own", "text_config": {"model_type": "llama"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert refusal(qcqa, tmp_path).startswith(
        "no description of where a model of this model_type keeps its text model; found \"of_its_own\", whose text model is "
        "a \"llama\". ")


def without_key_norms(tensors):
    return {name: tensor for name, tensor in tensors.items() if "k_norm" not in name}


def with_gates(tensors):
    gates = {name.replace("o_proj", "head_gate"): torch.zeros(3) for name in tensors if name.endswith("o_proj.weight")}
    return {**tensors, **gates}


def with_one_wide_norm(tensors):
    return {name: tensor.repeat(2) if name == "model.norm.weight" else tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize("base,change,wanted", [
    ("qwen3", without_key_norms, "qwen3 but for 3 tensors missing (model.layers.0.self_attn.k_norm.weight, "
                                 "model.layers.1.self_attn.k_norm.weight, model.layers.2.self_attn.k_norm.weight)"),
    ("llama", with_gates, "llama but for 3 tensors more (model.layers.0.self_attn.head_gate.weight, "
                          "model.layers.1.self_attn.head_gate.weight, model.layers.2.self_attn.head_gate.weight)"),
    ("olmo2", with_one_wide_norm, "olmo2 but for 1 tensor of another shape (model.norm.weight)"),
], ids=["missing", "more", "another-shape"])
def test_a_fine_tune_that_is_nearly_of_a_family(qcqa, built, tmp_path, base, change, wanted):
    source, folder = built(Variant(family(base))), tmp_path / "model"
    reference.write_like(source, change(reference.read_tensors(source)), folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "of_its_own"}))
    assert refusal(qcqa, folder).startswith(
        f'no description of this model_type; found "of_its_own", with the tensors of {wanted}. ')


def test_what_a_config_gives_away_counts_with_a_family_too(qcqa, built, tmp_path):
    """Layers may hold keys and values that the class does not read."""
    source = built(Variant(family("llama")))
    folder = reference.write_like(source, reference.read_tensors(source), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "of_its_own", "num_kv_shared_layers": 2}))
    for options in ([], ["--family", "llama"]):
        done = qcqa.run("inspect", folder, *options, expect=2)
        assert "each layer must have keys and values of its own" in done.stderr
