"""Multi-modal folders are read as their text models, and written as they were but for the text model's heads."""

import copy
import dataclasses
import itertools
import json
import warnings

import pytest
import torch
import transformers

import reference
from architectures import HIDDEN, HYBRID, LAYERS, MIXTURE, QUERY_HEADS, VOCABULARY, Family
from test_evaluate import TOLERANCE, cross_entropy, documents, dumped_logits, expected_logits

KV_HEADS, GROUPS = 4, 2
ROWS = documents(VOCABULARY)

# How the text model's attention is named in a folder.
MODULES = "model.language_model.layers.{layer}.self_attn."
OLD = "language_model.model.layers.{layer}.self_attn."
OLD_QWEN = "model.layers.{layer}.self_attn."
IDEFICS = "model.text_model.layers.{layer}.self_attn."


@dataclasses.dataclass(frozen=True)
class Composite:
    """A row like those of architectures.py: `text` and `vision` are the configs of its parts, `more` is beside them."""

    name: str
    text: dict
    vision: dict
    prefix: str  # of the names that save_pretrained writes by itself
    new_prefix: str = MODULES  # with save_original_format=False
    more: dict = dataclasses.field(default_factory=dict)
    names: str = "old"  # old | new
    places: tuple = tuple(range(LAYERS))  # of the layers with attention

    def text_model(self):
        """What reference.py needs to know of it."""
        return Family(self.text["model_type"], prefix=self.prefix)

    def both_types(self):
        return f"{self.name}-{self.text['model_type']}"

    def with_new_names(self):
        return dataclasses.replace(self, prefix=self.new_prefix, names="new")

    def __str__(self):
        return f"{self.both_types()}-{self.names}"


CLIP = {"model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 8, "patch_size": 4, "projection_dim": 16}
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8,
         "patch_size": 4}
QWEN = {"depth": 1, "num_heads": 2, "patch_size": 4}
WINDOW = {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1}
MROPE = {"rope_type": "default", "rope_theta": 500.0, "mrope_section": [1, 1, 2]}  # half of head_dim

COMPOSITES = [
    Composite("llava", {"model_type": "llama", "attention_bias": True}, CLIP, OLD),
    Composite("llava_next", {"model_type": "mistral", "sliding_window": 9}, CLIP, OLD,
              more={"image_grid_pinpoints": [[8, 8]]}),
    Composite("mistral3", {"model_type": "mistral", "sliding_window": 9, "head_dim": 8},
              {**SMALL, "model_type": "pixtral", "head_dim": 8}, OLD),
    Composite("mistral3", {"model_type": "ministral3", "head_dim": 8, "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 500.0, "factor": 8.0, "beta_fast": 32.0, "beta_slow": 1.0, "mscale": 1.0,
        "mscale_all_dim": 1.0, "original_max_position_embeddings": 8, "llama_4_scaling_beta": 0.5}},
              {**SMALL, "model_type": "pixtral", "head_dim": 8}, OLD),
    # Tied by what stands outside of the text model's config.
    Composite("gemma3", {"model_type": "gemma3_text", "head_dim": 8, "query_pre_attn_scalar": 12, "sliding_window": 9,
                         "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
              {**SMALL, "model_type": "siglip_vision_model"}, OLD,
              more={"mm_tokens_per_image": 4, "tie_word_embeddings": True}),
    Composite("internvl", {"model_type": "qwen2", **WINDOW},
              {**SMALL, "image_size": [8, 8], "patch_size": [4, 4]}, OLD),
    Composite("qwen2_vl", {"model_type": "qwen2_vl_text", "rope_parameters": MROPE, **WINDOW},
              {**QWEN, "embed_dim": 16, "hidden_size": HIDDEN, "mlp_ratio": 2}, OLD_QWEN),
    Composite("qwen2_5_vl", {"model_type": "qwen2_5_vl_text", "rope_parameters": MROPE, **WINDOW},
              {**QWEN, "hidden_size": 16, "intermediate_size": 24, "out_hidden_size": HIDDEN, "window_size": 16,
               "fullatt_block_indexes": [0]}, OLD_QWEN),
    Composite("qwen3_vl", {"model_type": "qwen3_vl_text", "head_dim": 8, "attention_bias": True, "rope_parameters": {
                               **MROPE, "mrope_section": [2, 1, 1], "mrope_interleaved": True}},
              {**QWEN, "depth": 2, "hidden_size": 16, "intermediate_size": 24, "out_hidden_size": HIDDEN,
               "num_position_embeddings": 16, "deepstack_visual_indexes": [0]}, MODULES),
    Composite("qwen3_5", {"model_type": "qwen3_5_text", "head_dim": 8, **HYBRID, "rope_parameters": {
                              **MROPE, "mrope_section": [1, 0, 0], "mrope_interleaved": True, "partial_rotary_factor": 0.25}},
              {**QWEN, "hidden_size": 16, "intermediate_size": 24, "out_hidden_size": HIDDEN,
               "num_position_embeddings": 16}, MODULES, places=(0, 2)),
    Composite("qwen3_5_moe", {"model_type": "qwen3_5_moe_text", "head_dim": 8, **HYBRID, **MIXTURE, "rope_parameters": {
                                  **MROPE, "mrope_section": [1, 0, 0], "mrope_interleaved": True,
                                  "partial_rotary_factor": 0.25}},
              {**QWEN, "hidden_size": 16, "intermediate_size": 24, "out_hidden_size": HIDDEN,
               "num_position_embeddings": 16}, MODULES, places=(0, 2)),
    Composite("smolvlm", {"model_type": "llama"}, SMALL, IDEFICS, IDEFICS, {"scale_factor": 2}),
    Composite("idefics3", {"model_type": "llama", "attention_bias": True}, SMALL, IDEFICS, IDEFICS,
              {"scale_factor": 2}),
]
CASES = COMPOSITES + [composite.with_new_names() for composite in COMPOSITES
                      if composite.prefix != composite.new_prefix]
FLAT = [composite for composite in COMPOSITES if composite.name in ("qwen2_vl", "qwen2_5_vl")]


def make_model(composite, seed=0):
    """Random weights like those of architectures.make_model()."""
    text = {"vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": 80, "num_hidden_layers": LAYERS,
            "num_attention_heads": QUERY_HEADS, "num_key_value_heads": KV_HEADS, "max_position_embeddings": 64,
            "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "tie_word_embeddings": False, **composite.text}
    config = transformers.AutoConfig.for_model(composite.name, text_config=text, vision_config=dict(composite.vision),
                                               **{"tie_word_embeddings": False, **composite.more})
    model = transformers.AutoModelForImageTextToText.from_config(config, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_((0.0 if name.endswith("bias") else 1.0) + 0.3 * noise)
            elif "embed" in name:
                parameter.copy_(noise / HIDDEN**0.5 if config.tie_word_embeddings else noise)
            else:
                parameter.copy_(noise * 1.2 / parameter[0].numel() ** 0.5)
    return model


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """composite -> (its folder, the logits of text alone); each is built once, for both kinds of names."""
    transformers.utils.logging.disable_progress_bar()
    root, logits = tmp_path_factory.mktemp("composites"), {}

    def get(composite):
        if composite.both_types() not in logits:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = make_model(composite)
                for names in ("old", "new"):
                    model.save_pretrained(root / f"{composite.both_types()}-{names}", save_original_format=names == "old")
            logits[composite.both_types()] = expected_logits(model, ROWS)
        return root / str(composite), logits[composite.both_types()]

    return get


def loaded_logits(folder):
    """Those of text alone, of a folder with nothing that the class misses or does not know."""
    model, info = transformers.AutoModelForImageTextToText.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[problem], f"{folder}: {problem} {info[problem]}"
    return expected_logits(model.eval(), ROWS)


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def convert_to_half(qcqa, composite, source, out):
    """Half of the KV heads; nothing but the text model's four projections may change. Returns the labels."""
    labels = qcqa.convert(source, out, "--groups", GROUPS, "--cardinality", "equal", "--layout", "gqa")
    before, after = reference.read_tensors(source), reference.read_tensors(out)
    assert set(before) == set(after)
    layers = tuple(composite.prefix.format(layer=layer) for layer in composite.places)
    attention = {n for n in before if n.startswith(layers) and "_proj." in n}
    assert [n for n in before if n not in attention and not reference.same_bits(before[n], after[n])] == []
    heads = [n for n in attention if "k_proj" in n or "v_proj" in n]
    assert len(heads) >= 2 * len(composite.places)
    assert [n for n in heads if after[n].shape[0] * KV_HEADS != before[n].shape[0] * GROUPS] == []
    return labels


def require_evaluated(qcqa, source, expected, out, expected_out, work):
    """One `qcqa evaluate` reads both folders: the logits of the converted one, and what tells that those of its source
    are the expected ones."""
    result, found = dumped_logits(qcqa, out, ROWS, work, "--reference", source)
    assert found.shape == expected_out.shape
    assert reference.largest_difference(found, expected_out) <= TOLERANCE
    ours, theirs = (float(torch.cat(cross_entropy(logits, ROWS)).mean()) for logits in (expected_out, expected))
    assert result["cross_entropy"] == pytest.approx(ours, rel=1e-5)
    compared = result["reference"]
    assert compared["cross_entropy"] == pytest.approx(theirs, rel=1e-5)
    last = torch.tensor([len(row) for row in ROWS]).cumsum(0) - 1
    scored = torch.ones(len(expected), dtype=torch.bool).index_fill_(0, last, False)
    log_p, log_q = (torch.log_softmax(logits[scored].double(), -1) for logits in (expected, expected_out))
    assert compared["kl_mean"] == pytest.approx(float((log_p.exp() * (log_p - log_q)).sum(-1).mean()), rel=1e-4)


@pytest.mark.parametrize("composite", CASES, ids=str)
def test_identity_grouping_keeps_every_bit(qcqa, built, tmp_path, composite):
    (source, _), out = built(composite), tmp_path / "out"
    labels = qcqa.convert(source, out, "--groups", KV_HEADS, "--cardinality", "contiguous", "--layout", "gqa")
    assert labels == [list(range(KV_HEADS))] * len(composite.places)
    before, after = reference.read_tensors(source), reference.read_tensors(out)
    assert set(before) == set(after)
    assert [name for name in before if not reference.same_bits(before[name], after[name])] == []
    assert config_of(out) == config_of(source)


@pytest.mark.parametrize("composite", CASES, ids=str)
def test_half_the_heads(qcqa, built, tmp_path, composite):
    (source, expected), out = built(composite), tmp_path / "out"
    labels = convert_to_half(qcqa, composite, source, out)
    wanted = config_of(source)
    wanted["text_config"]["num_key_value_heads"] = GROUPS
    assert config_of(out) == wanted
    of_some = f"of the model's {LAYERS}, in this order, {', '.join(map(str, composite.places))}." in (out / "README.md").read_text()
    assert of_some == (len(composite.places) < LAYERS)
    converted = loaded_logits(out)
    require_evaluated(qcqa, source, expected, out, converted, tmp_path / "work")
    if composite.names == "new":
        return
    pooled, _ = reference.mean_pool(composite.text_model(), reference.read_tensors(source),
                                    config_of(source)["text_config"], labels)
    pooled = loaded_logits(reference.write_like(source, pooled, tmp_path / "pooled"))
    assert reference.largest_difference(converted, pooled) <= TOLERANCE
    # Pooling random heads must show, or the comparisons above would prove nothing.
    assert reference.largest_difference(pooled, expected) > 0.05


def flattened(config):
    """As it was written before there was a text_config."""
    config = copy.deepcopy(config)
    text, vision = config.pop("text_config"), config["vision_config"]
    rope = text.pop("rope_parameters")
    dtype = config.pop("dtype")
    for key in ("model_type", "layer_types", "dtype"):
        text.pop(key, None)
    vision["model_type"] = config["model_type"]
    return {**text, **config, "torch_dtype": dtype, "rope_theta": rope["rope_theta"],
            "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]}}


@pytest.mark.parametrize("composite", FLAT, ids=lambda composite: composite.name)
def test_flat_config(qcqa, built, tmp_path, composite):
    nested, expected = built(composite)
    source, out = reference.write_like(nested, reference.read_tensors(nested), tmp_path / "flat"), tmp_path / "out"
    wanted = flattened(config_of(nested))
    (source / "config.json").write_text(json.dumps(wanted))
    assert reference.largest_difference(loaded_logits(source), expected) <= 1e-5
    convert_to_half(qcqa, composite, source, out)
    wanted["num_key_value_heads"] = GROUPS
    assert config_of(out) == wanted
    require_evaluated(qcqa, source, expected, out, loaded_logits(out), tmp_path / "work")


def ties_by(folder, config):
    """Whether the class ties the output matrix to the embedding by this config.json."""
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        model = transformers.AutoModelForImageTextToText.from_config(transformers.AutoConfig.from_pretrained(folder))
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("composite", COMPOSITES, ids=lambda composite: composite.both_types())
def test_which_config_ties_the_output_matrix(qcqa, built, tmp_path, composite):
    """The key may stand beside the text model's config, in it, in both or nowhere; without a stored output matrix."""
    source, _ = built(composite)
    stored = {name: tensor for name, tensor in reference.read_tensors(source).items() if "lm_head" not in name}
    folder, wrong, seen = reference.write_like(source, stored, tmp_path / "headless"), [], set()
    nested = config_of(source)
    cases = [(nested, outer, inner) for outer, inner in itertools.product((None, True, False), repeat=2)]
    if composite in FLAT:
        cases += [(flattened(nested), outer, None) for outer in (None, True, False)]
    for config, outer, inner in cases:
        config = copy.deepcopy(config)
        for part, value in ((config, outer), (config.get("text_config", {}), inner)):
            part.pop("tie_word_embeddings", None)
            if value is not None:
                part["tie_word_embeddings"] = value
        tied = ties_by(folder, config)
        seen.add(tied)
        done = qcqa.run("inspect", folder, expect=0 if tied else 2)
        if not tied and "1 missing: lm_head.weight" not in done.stderr:
            wrong.append(f"{outer} and {inner}: {done.stderr}")
    assert wrong == []
    assert seen == {True, False}
