"""Checkpoints whose file and config.json do not say the same: the model is what transformers makes of the folder, in
evaluation and in everything that is written."""

import json
import shutil

import pytest
import safetensors.torch
import torch
import transformers

import reference
import serving
from architectures import QUERY_HEADS, Variant, family

TOLERANCE = 1e-3  # float32 logits
LAYER_TYPES = ["full_attention", "sliding_attention", "full_attention"]


def edited(source, folder, tensors=None, **config):
    """A copy of a model folder with another config.json, and tensors changed in place by `tensors`."""
    shutil.copytree(source, folder)
    values = {**json.loads((folder / "config.json").read_text()), **config}
    (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v != "left out"}))
    if tensors:
        state = safetensors.torch.load_file(folder / "model.safetensors")
        state = tensors(state) or state
        safetensors.torch.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def load(folder):
    """As people do: unexpected tensors only warn. Missing ones would be random."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", trust_remote_code=True, output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"]
    return model.eval(), info


@torch.no_grad()
def right_logits(folder, rows):
    model, _ = load(folder)
    return torch.cat([model(torch.tensor([row])).logits[0] for row in rows])


def same(qcqa, folder, work):
    """What transformers computes of the folder, which qcqa must compute as well."""
    rows = serving.documents()
    right = right_logits(folder, rows)
    _, seen = serving.evaluated(qcqa, folder, rows, work)
    assert reference.largest_difference(torch.tensor(seen), right) <= TOLERANCE
    return right


def untie(state):
    state["lm_head.weight"] = torch.randn(state["model.embed_tokens.weight"].shape,
                                          generator=torch.Generator().manual_seed(3)) * 0.2


def repeat_embedding(state):
    state["lm_head.weight"] = state["model.embed_tokens.weight"].clone()


def head_for_embedding(state):
    state["lm_head.weight"] = state.pop("model.embed_tokens.weight")


def only_base(state):
    return {name.removeprefix("model."): tensor for name, tensor in state.items()}


def one_type_more(state):
    for name in state:
        if "k_proj" in name:
            state[name] = state[name].half()


TIED = Variant(family("llama"), extra=(("tie_word_embeddings", True),))
BIASED = Variant(family("llama"), extra=(("mlp_bias", True),))
CASES = {
    "undeclared-biases": (BIASED, {"attention_bias": False, "mlp_bias": False}, None),
    "undeclared-biases-as-mistral": (BIASED, {"model_type": "mistral", "architectures": ["MistralForCausalLM"],
                                              "sliding_window": None}, None),
    "undeclared-biases-left-out-key": (BIASED, {"attention_bias": "left out", "mlp_bias": "left out"}, None),
    "undeclared-biases-starcoder2": (Variant(family("starcoder2")), {"use_bias": False}, None),
    "undeclared-biases-stablelm": (Variant(family("stablelm")), {"use_qkv_bias": "left out"}, None),
    "undeclared-biases-neox": (Variant(family("gpt_neox")), {"attention_bias": False}, None),
    "layer-types": (Variant(family("mistral")), {"sliding_window": 7, "layer_types": LAYER_TYPES}, None),
    "layer-types-null": (Variant(family("mistral")), {"sliding_window": 7, "layer_types": None}, None),
    "head-apart": (TIED, {}, untie),
    "head-repeated": (TIED, {}, repeat_embedding),
    "head-for-embedding": (TIED, {}, head_for_embedding),
    "base-class": (TIED, {"architectures": ["LlamaModel"]}, only_base),
    "epsilon-zero": (Variant(family("llama")), {"rms_norm_eps": 0.0}, None),
    "kv-heads-left-out": (Variant(family("starcoder2"), kv_heads=2), {"num_key_value_heads": "left out"}, None),
    "activation-clipped": (Variant(family("llama")), {"hidden_act": "gelu_10"}, None),
    "one-type-more": (Variant(family("llama")), {}, one_type_more),
}


@pytest.fixture(scope="session")
def case(built, tmp_path_factory):
    root = tmp_path_factory.mktemp("cases")

    def get(name):
        variant, config, tensors = CASES[name]
        folder = root / name
        return folder if folder.exists() else edited(built(variant), folder, tensors, **config)

    return get


@pytest.mark.parametrize("name", CASES)
def test_evaluation_and_output_follow_the_class(qcqa, case, tmp_path, name):
    source = case(name)
    right = same(qcqa, source, tmp_path / "source")
    grouped = "num_key_value_heads" in load(source)[0].config.to_dict()
    heads = load(source)[0].config.num_key_value_heads if grouped else QUERY_HEADS
    if grouped:
        qcqa.convert(source, tmp_path / "fewer", "--groups", max(heads // 2, 1), "--layout", "gqa")
        same(qcqa, tmp_path / "fewer", tmp_path / "work")
    # Nothing merged: the same model, and nothing that its class does not know.
    qcqa.convert(source, tmp_path / "out", "--groups", heads, "--layout", "gqa" if grouped else "expanded")
    assert reference.largest_difference(right_logits(tmp_path / "out", serving.documents()), right) <= TOLERANCE
    assert not load(tmp_path / "out")[1]["unexpected_keys"]


@pytest.mark.parametrize("name", ["undeclared-biases", "layer-types", "head-apart", "base-class"])
def test_remote_code_follows_the_class(qcqa, case, tmp_path, name):
    right = right_logits(case(name), serving.documents())
    qcqa.convert(case(name), tmp_path / "out", "--groups", QUERY_HEADS, "--layout", "remote-code")
    assert reference.largest_difference(right_logits(tmp_path / "out", serving.documents()), right) <= TOLERANCE


@pytest.mark.parametrize("layout", [["--format", "gguf"], ["--layout", "nemotron-nas"], ["--layout", "openelm"]], ids=" ".join)
@pytest.mark.parametrize("name,apart", [("head-apart", True), ("head-repeated", False)])
def test_every_layout_has_the_head_that_counts(qcqa, built, tmp_path, layout, name, apart):
    # Without biases, which openelm has no room for.
    plain = Variant(family("llama"), extra=(("tie_word_embeddings", True), ("attention_bias", False)))
    source = edited(serving.without_tokenizer(built(plain), tmp_path / "plain"), tmp_path / "source", CASES[name][2])
    qcqa.convert(source, tmp_path / "out", "--groups", QUERY_HEADS, *layout)
    head = safetensors.torch.load_file(source / "model.safetensors")["lm_head.weight"]
    if layout[0] == "--format":
        import gguf

        tensors = {t.name: torch.tensor(t.data) for t in gguf.GGUFReader(str(tmp_path / "out/model.gguf")).tensors}
        found = tensors.get("output.weight")
    else:
        found = safetensors.torch.load_file(tmp_path / "out/model.safetensors").get("lm_head.weight")
    assert (found is not None) == apart
    assert not apart or torch.equal(found, head)


@pytest.mark.parametrize("layout", [["--format", "gguf"], ["--layout", "nemotron-nas"], ["--layout", "openelm"],
                                    ["--layout", "remote-code"]], ids=" ".join)
def test_a_classifier_has_no_logits_to_write(qcqa, built, tmp_path, layout):
    config = reference.load(built(Variant(family("mistral")))).config
    transformers.MistralForSequenceClassification(config).save_pretrained(tmp_path / "source")
    done = qcqa.run("convert", tmp_path / "source", "-o", tmp_path / "out", "--groups", 2, *layout, "-q", expect=2)
    assert "lm_head.weight" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
    qcqa.convert(tmp_path / "source", tmp_path / "gqa", "--groups", 2, "--layout", "gqa")
    _, info = transformers.MistralForSequenceClassification.from_pretrained(tmp_path / "gqa", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]


HOLES = ["model.layers.1.mlp.up_proj.weight", "model.layers.2.input_layernorm.weight", "model.norm.weight", "lm_head.weight",
         "model.embed_tokens.weight", "model.layers.0.self_attn.o_proj.bias"]


@pytest.mark.parametrize("hole", HOLES)
def test_a_hole_is_refused_before_anything_is_written(qcqa, built, tmp_path, hole):
    source = edited(built(Variant(family("llama"))), tmp_path / "source", lambda state: {n: t for n, t in state.items() if n != hole})
    for arguments in (["convert", "--groups", 2, "-o", tmp_path / "out"], ["search", "-o", tmp_path / "report.json"]):
        done = qcqa.run(arguments[0], source, *arguments[1:], "-q", expect=2)
        assert f"1 missing: {hole}" in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_hole_in_a_mixture_of_experts_is_refused(qcqa, built, tmp_path):
    source = built(Variant(family("mixtral")))
    hole = next(n for n in sorted(reference.read_tensors(source)) if "layers.1." in n and "expert" in n)
    folder = edited(source, tmp_path / "source", lambda state: {n: t for n, t in state.items() if n != hole})
    done = qcqa.run("convert", folder, "-o", tmp_path / "out", "--groups", 2, "-q", expect=2)
    assert f"1 missing: {hole}" in done.stderr


REFUSED = {
    "theta-null": ({"rope_parameters": {"rope_type": "default", "rope_theta": None}, "rope_theta": 777.0},
                   '"rope_theta" must be a number; found null'),
    "epsilon-null": ({"rms_norm_eps": None}, '"rms_norm_eps" must be a number; found null'),
    "window-off-but-types": ({"model_type": "mistral", "sliding_window": None, "layer_types": LAYER_TYPES}, "found null"),
    "types-of-other-layers": ({"model_type": "mistral", "layer_types": LAYER_TYPES[:2]}, "each of the 3 layers"),
    "not-causal": ({"is_causal": False}, "evaluation needs a causal model"),
    "more-layers": ({"num_hidden_layers": 4}, "must hold the 4 layers that config.json states; found 3 layers"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_are_one_line_that_names_the_reason(qcqa, built, tmp_path, name):
    config, reason = REFUSED[name]
    source = edited(built(Variant(family("llama"), extra=(("attention_bias", False),))), tmp_path / "source", **config)
    (tmp_path / "ids").write_text("[3, 4, 5]\n")
    for command in (["evaluate", source, "--token-ids", tmp_path / "ids"],
                    ["convert", source, "--groups", 2, "--format", "gguf", "-o", tmp_path / "out"]):
        done = qcqa.run(*command, "-q", expect=2)
        assert reason in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
