"""What a config.json means here is what the model class of transformers makes of it: every key of every family stated,
left out and null, wherever transformers takes that."""

import functools
import json
import os
import pathlib
import subprocess

import pytest
import torch
import transformers

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
ACTIVATIONS = {kind[0] if isinstance(kind, tuple) else kind for kind in transformers.activations.ACT2CLS.values()}
POINTS = torch.tensor([-12.0, -3.0, -1.0, -0.25, 0.0, 0.5, 2.0, 11.0])

# Values that no class has as its default, so that a key left out is seen.
COMMON = {"vocab_size": 96, "hidden_size": 256, "intermediate_size": 80, "num_hidden_layers": 3,
          "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 24, "max_position_embeddings": 320,
          "hidden_act": "relu", "rope_theta": 777.0, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
RMS, LAYER = {"rms_norm_eps": 3e-4}, {"layer_norm_eps": 3e-4}
FAMILIES = {
    "llama": {**RMS, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "mistral": {**RMS, "sliding_window": 7, "tie_word_embeddings": True},
    "ministral": {**RMS, "sliding_window": 7, "tie_word_embeddings": True,
                  "layer_types": ["full_attention", "sliding_attention", "full_attention"]},
    "mixtral": {**RMS, "sliding_window": 7, "tie_word_embeddings": True, "num_local_experts": 2},
    "qwen2": {**RMS, "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1,
              "tie_word_embeddings": True},
    "qwen3": {**RMS, "use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1, "attention_bias": True,
              "tie_word_embeddings": True},
    "gemma": {**RMS, "attention_bias": True, "tie_word_embeddings": False},
    "gemma2": {**RMS, "attention_bias": True, "tie_word_embeddings": False, "hidden_activation": "relu",
               "query_pre_attn_scalar": 9, "sliding_window": 7, "final_logit_softcapping": 4.0,
               "attn_logit_softcapping": 5.0, "layer_types": ["full_attention", "sliding_attention", "full_attention"]},
    "granite": {**RMS, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True,
                "embedding_multiplier": 3.0, "logits_scaling": 4.0, "residual_multiplier": 0.5,
                "attention_multiplier": 0.25},
    "phi": {**LAYER, "tie_word_embeddings": True, "partial_rotary_factor": 0.75},
    "phi3": {**RMS, "tie_word_embeddings": True, "partial_rotary_factor": 0.75, "sliding_window": 7,
             "original_max_position_embeddings": 160},
    "gpt_neox": {**LAYER, "tie_word_embeddings": True, "rotary_pct": 0.5, "rotary_emb_base": 555.0,
                 "attention_bias": False, "use_parallel_residual": False},
    "stablelm": {**LAYER, "tie_word_embeddings": True, "partial_rotary_factor": 0.5, "use_qkv_bias": True,
                 "use_parallel_residual": True},
    "starcoder2": {"norm_epsilon": 3e-4, "tie_word_embeddings": False, "use_bias": False, "sliding_window": 7},
}
HEADS_FILL_HIDDEN_SIZE = ("gpt_neox", "stablelm")  # no head_dim in these classes

TYPES = ["full_attention", "sliding_attention", "sliding_attention"]
YARN = {"rope_type": "yarn", "factor": 4.0}
# More changes of the whole config.json, for all families that take them.
CHANGES = {
    "layer-types": {"layer_types": TYPES},
    "layer-types-null": {"layer_types": None},
    "layer-types-old-name": {"layer_types": ["attention", "sliding_attention", "attention"]},
    "no-window": {"sliding_window": None},
    "window-off": {"use_sliding_window": False},
    "window-off-but-types": {"use_sliding_window": False, "layer_types": TYPES},
    "theta-in-parameters": {"rope_parameters": {"rope_type": "default", "rope_theta": 99.0}},
    "theta-null-in-parameters": {"rope_parameters": {"rope_type": "default", "rope_theta": None}},
    "parameters-without-theta": {"rope_parameters": {"rope_type": "linear", "factor": 3.0}},
    "scaling-before-parameters": {"rope_scaling": {"type": "linear", "factor": 2.0},
                                  "rope_parameters": {"rope_type": "default", "rope_theta": 99.0}},
    "empty-scaling": {"rope_scaling": {}, "rope_parameters": {"rope_type": "default", "rope_theta": 99.0}},
    "share-in-parameters": {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25}},
    "share": {"partial_rotary_factor": 0.25},
    "yarn": {"rope_scaling": {**YARN, "original_max_position_embeddings": 40}},
    "yarn-length-left-out": {"rope_scaling": YARN},
    "yarn-length-beside": {"rope_scaling": {**YARN, "original_max_position_embeddings": 40},
                           "original_max_position_embeddings": 80},
    "llama3-length-left-out": {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                                "high_freq_factor": 4.0}},
    "longrope": {"rope_scaling": {"type": "longrope", "short_factor": [1.5] * 6, "long_factor": [2.5] * 6,
                                  "original_max_position_embeddings": 40}, "partial_rotary_factor": 0.5,
                 "head_dim": 24, "hidden_size": 384},
    **{f"act-{name}": {"hidden_act": name, "hidden_activation": name} for name in
       ["gelu", "gelu_10", "gelu_fast", "gelu_new", "gelu_python", "gelu_pytorch_tanh", "gelu_python_tanh",
        "gelu_accurate", "hardswish", "laplace", "leaky_relu", "linear", "mish", "quick_gelu", "relu", "relu2", "relu6",
        "sigmoid", "silu", "sqrtsoftplus", "swish", "tanh"]},
}


@functools.cache
def meta_model(text):
    """The model that transformers makes of this config.json, without weights; nothing where it refuses."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(text)
        try:
            config = transformers.AutoConfig.from_pretrained(folder)
            with torch.device("meta"):
                model = transformers.AutoModelForCausalLM.from_config(config).eval()
                model(torch.zeros((1, 9), dtype=torch.long))  # some values are refused only here
            return model
        except Exception:  # whatever it is, there is nothing to compare with
            return None


def facts(model):
    """The same as qcqa_describe prints, read off the modules of transformers."""
    config, name = model.config, model.config.model_type
    base = getattr(model, model.base_model_prefix)
    layer = base.layers[0]
    attention = getattr(layer, "self_attn", None) or layer.attention
    norm = layer.input_layernorm
    rotary = type(base.rotary_emb)(config)
    activation = next(m for m in layer.mlp.modules() if type(m) in ACTIVATIONS)
    windows = [getattr(l.self_attn, "sliding_window", None) if hasattr(l, "self_attn") and hasattr(l.self_attn, "sliding_window")
               else config.sliding_window if name in ("mistral", "mixtral", "phi3", "starcoder2") else None for l in base.layers]
    get = functools.partial(getattr, config)
    return {
        "kv_heads": get("num_key_value_heads") if name != "gpt_neox" else config.num_attention_heads,
        "head_dim": attention.head_size if name == "gpt_neox" else attention.head_dim,
        "positions": config.max_position_embeddings,
        "tensors": {n.replace("lm_head", "embed_out") if name == "gpt_neox" else n: list(p.shape)
                    for n, p in model.named_parameters()},
        "epsilon": getattr(norm, "variance_epsilon", None) or norm.eps,
        "embedding_multiplier": config.hidden_size**0.5 if "gemma" in name else get("embedding_multiplier", 1),
        "residual_multiplier": get("residual_multiplier", 1),
        "parallel": True if name == "phi" else bool(get("use_parallel_residual", False)),
        "frequencies": rotary.inv_freq.tolist(),
        "magnitude": rotary.attention_scaling,
        "scale": attention.scaling,
        "attention_softcap": get("attn_logit_softcapping", 0) or 0,
        "logit_softcap": get("final_logit_softcapping", 0) or 0,
        "logit_divisor": get("logits_scaling", 1),
        "windows": [window or 0 for window in windows],
        "activation": activation(POINTS).tolist(),
    }


def configs(name):
    stated = {"model_type": name, **COMMON, **FAMILIES[name]}
    if name in HEADS_FILL_HIDDEN_SIZE:
        stated.pop("head_dim")
    yield "stated", stated
    yield "nothing", {"model_type": name}
    for key in stated.keys() - {"model_type"}:
        yield f"without {key}", {k: v for k, v in stated.items() if k != key}
        yield f"{key} null", {**stated, key: None}
    for key in ("attention_bias", "mlp_bias", "use_bias", "use_qkv_bias", "use_sliding_window"):
        if key not in stated:  # another family's key means nothing
            yield f"another's {key}", {**stated, key: True}
    for label, change in CHANGES.items():
        if label.startswith("act-") and name not in ("llama", "gemma", "gemma2"):  # one table; two families have other keys
            continue
        yield label, {**stated, **change}


@pytest.fixture(scope="session")
def describe(qcqa):
    program = pathlib.Path(os.environ.get("QCQA_DESCRIBE", qcqa.binary.parent / "tests/model/qcqa_describe"))
    if not program.exists():
        pytest.fail(f"{program}: no such program; configure with QCQA_BUILD_TESTS or set QCQA_DESCRIBE")

    def run(folders):
        done = subprocess.run([str(program), *map(str, folders)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run


@pytest.mark.parametrize("name", FAMILIES)
def test_a_config_means_what_the_class_makes_of_it(describe, tmp_path, name):
    cases = []
    for number, (label, config) in enumerate(configs(name)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config))
        cases.append((label, json.dumps(config), folder))
    compared, wrong = 0, []
    for (label, text, _), seen in zip(cases, describe([folder for *_, folder in cases]), strict=True):
        model = meta_model(text)
        if model is None:
            continue
        compared += 1
        if "error" in seen:
            wrong.append(f"{label}: {seen['error']}")
            continue
        right = facts(model)
        if name == "mixtral":  # not run here: its experts have no description
            right = {key: right[key] for key in ("kv_heads", "head_dim", "positions", "tensors", "frequencies", "magnitude",
                                                 "scale", "attention_softcap", "windows")}
            right["tensors"] = {n: s for n, s in right["tensors"].items() if n in seen["tensors"]}
            right["tensors"]["model.norm.weight"] = []
        for key, value in right.items():
            close = seen[key] == value if isinstance(value, (dict, bool)) else seen[key] == pytest.approx(value, rel=1e-5, abs=1e-6)
            if not close:
                wrong.append(f"{label}: {key} is {seen[key]}, right {value}")
    assert not wrong, "\n".join(w[:600] for w in wrong)
    assert compared > 25  # most of them must be there to compare
