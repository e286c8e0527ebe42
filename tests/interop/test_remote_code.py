"""--layout remote-code: transformers computes what `qcqa evaluate` computes, generates with its KV cache, and that cache
takes the bytes that we claim. The same for the stock classes of --layout gqa."""

import json
import pickle
import shutil

import pytest
import torch
import transformers

import reference
import serving
from architectures import FAMILIES, VOCABULARY, Variant, family
from conftest import plan_labels

TOLERANCE = 1e-3  # float32 logits
GROUPED = [f for f in FAMILIES
           if f.grouped and f.runs and not (f.experts or f.renamed or f.caches_all or f.has_other_layers)]
VARIANTS = [Variant(f) for f in GROUPED] + [
    Variant(family("llama"), kv_heads=4, extra=(("attention_bias", False), ("head_dim", 12))),
    Variant(family("mistral"), dtype="bfloat16", storage="sharded-safetensors")]


def load(folder, **options):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, trust_remote_code=True, dtype=torch.float32, output_loading_info=True, **options)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[problem], f"{problem} {info[problem]}"
    return model.eval()


def cache_bytes_per_token(model, ids):
    with torch.no_grad():
        cache = model(ids, use_cache=True).past_key_values
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers if hasattr(layer, "keys")) / ids.numel()


def generates_from_its_cache(model, ids):
    longer = model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=None)
    return torch.equal(longer[:, ids.shape[1]:], reference.logits(model, longer).argmax(-1)[:, ids.shape[1] - 1 : -1])


def per_layer_plan(qcqa, variant, source, tmp_path):
    """A class that ignores head_dim cannot be padded, so it takes equal groups only."""
    kind = "equal" if variant.family.query_heads == "fixed" else "both"
    qcqa.run("search", source, "-o", tmp_path / "report.json", "--cardinality", kind, "-q")
    return ["--report", tmp_path / "report.json", "--kv", 0.6]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_remote_code_equals_evaluate(qcqa, built, tmp_path, variant):
    source = built(variant)
    plan = per_layer_plan(qcqa, variant, source, tmp_path)
    qcqa.run("convert", source, "-o", tmp_path / "out", *plan, "--layout", "remote-code")
    labels = plan_labels(tmp_path / "out")
    assert len({len(set(layer)) for layer in labels}) > 1, "the same group count in all layers proves little"
    model = load(tmp_path / "out", attn_implementation="eager")
    rows = serving.documents()
    _, expected = serving.evaluated(qcqa, tmp_path / "out", rows, tmp_path / "evaluated")
    with torch.no_grad():
        found = torch.cat([model(torch.tensor([row])).logits[0] for row in rows])
    assert reference.largest_difference(found, torch.tensor(expected)) <= TOLERANCE
    if variant.family.name in ("llama", "phi3", "gemma2"):
        # The merged heads themselves: of the expanded layout, whose shape is the original's.
        qcqa.run("convert", source, "-o", tmp_path / "expanded", *plan, "--layout", "expanded")
        expanded = reference.logits_of(tmp_path / "expanded")
        assert reference.largest_difference(reference.logits(model), expanded) <= TOLERANCE * (1 if variant.dtype == "float32" else 50)

    ids = reference.token_ids(VOCABULARY)[:1]
    claimed = serving.claimed_kv_bytes(tmp_path / "out") * (1 if variant.dtype == "float32" else 2)
    assert cache_bytes_per_token(model, ids[:, :8]) == claimed  # within every window
    assert generates_from_its_cache(model, ids)


@pytest.mark.parametrize("plan", ["uniform", "unequal"])
def test_cache_of_the_stock_class(qcqa, built, tmp_path, plan):
    source = built(Variant(family("mistral")))
    serving.convert(qcqa, source, tmp_path / "out", plan)
    model, ids = reference.load(tmp_path / "out"), reference.token_ids(VOCABULARY)[:1]
    assert cache_bytes_per_token(model, ids) == serving.claimed_kv_bytes(tmp_path / "out")
    assert generates_from_its_cache(model, ids)


def test_attention_implementations_and_saving(qcqa, built, tmp_path):
    source = built(Variant(family("mistral")))
    plan = per_layer_plan(qcqa, Variant(family("mistral")), source, tmp_path)
    qcqa.run("convert", source, "-o", tmp_path / "out", *plan, "--layout", "remote-code")
    eager, sdpa = (load(tmp_path / "out", attn_implementation=name) for name in ("eager", "sdpa"))
    expected = reference.logits(eager)
    assert reference.largest_difference(reference.logits(sdpa), expected) <= 1e-4
    sdpa.set_attn_implementation("eager")
    assert {layer.self_attn.config._attn_implementation for layer in sdpa.model.layers} == {"eager"}
    # A cache that is brought along, by its name until transformers 5.40 and by the new one.
    ids = reference.token_ids(VOCABULARY)[:1]
    for name in ("past_key_values", "cache"):
        cache = transformers.DynamicCache()
        with torch.no_grad():
            parts = [eager(part, **{name: cache}).logits for part in (ids[:, :8], ids[:, 8:])]
        assert reference.largest_difference(torch.cat(parts, 1), expected[:1]) <= 1e-4
    # What transformers saves loads again, code and all.
    eager.save_pretrained(tmp_path / "saved")
    if not (tmp_path / "saved/modeling_qcqa.py").exists():
        shutil.copy(tmp_path / "out/modeling_qcqa.py", tmp_path / "saved")
    assert reference.largest_difference(reference.logits(load(tmp_path / "saved", attn_implementation="eager")), expected) == 0


def test_what_vllm_asks_of_it(qcqa, built, tmp_path):
    """The counts of each layer from the configuration alone, and the model without its output matrix."""
    variant = Variant(family("starcoder2"))  # a class whose configuration states no size of heads
    source = built(variant)
    plan = per_layer_plan(qcqa, variant, source, tmp_path)
    qcqa.run("convert", source, "-o", tmp_path / "out", *plan, "--layout", "remote-code")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "out", trust_remote_code=True)
    stated = json.loads((tmp_path / "out/config.json").read_text())
    assert config.is_heterogeneous
    found = [(layer.num_attention_heads, layer.num_key_value_heads, layer.head_dim) for layer in config.per_layer_config]
    assert found == [(*counts, 8) for counts in zip(stated["query_heads_per_layer"], stated["kv_heads_per_layer"])]
    options = dict(trust_remote_code=True, dtype=torch.float32, attn_implementation="eager")
    base = transformers.AutoModel.from_pretrained(tmp_path / "out", **options).eval()
    assert type(base).__name__ == "QcqaModel"
    ids = reference.token_ids(VOCABULARY)
    with torch.no_grad():
        assert torch.equal(base(ids)[0], load(tmp_path / "out", attn_implementation="eager").model(ids)[0])


@pytest.mark.parametrize("name", [f.name for f in FAMILIES if f.runs and f.name != "exaone"])
def test_any_family_shares_its_cache(qcqa, built, tmp_path, name):
    variant = Variant(family(name))
    source = built(variant)
    qcqa.run("search", source, "-o", tmp_path / "report.json", "-q")
    plan = ["--report", tmp_path / "report.json", "--kv", 0.6]
    qcqa.run("convert", source, "-o", tmp_path / "out", *plan, "--layout", "shared-cache")
    labels = plan_labels(tmp_path / "out")
    assert len({len(set(layer)) for layer in labels}) > 1, "the same group count in all layers proves little"
    model, own = load(tmp_path / "out", attn_implementation="eager"), reference.load(tmp_path / "out")
    assert type(model) is not type(own) and isinstance(model, type(own))
    ids = reference.token_ids(VOCABULARY)[:1]
    assert torch.equal(reference.logits(model, ids), reference.logits(own, ids))
    assert cache_bytes_per_token(model, ids[:, :8]) == serving.claimed_kv_bytes(tmp_path / "out")
    assert generates_from_its_cache(model, ids)


def test_a_shared_cache_is_not_trained_apart(qcqa, built, tmp_path):
    qcqa.run("convert", built(Variant(family("gpt2"))), "-o", tmp_path / "out", "--groups", 4, "--cardinality", "equal",
             "--layout", "shared-cache")
    model, ids = load(tmp_path / "out"), reference.token_ids(VOCABULARY)
    expected = reference.logits(model, ids)
    assert torch.equal(reference.logits(pickle.loads(pickle.dumps(model)), ids), expected)
    model.train()
    with pytest.raises(RuntimeError, match="freeze the attention blocks"):
        model(ids, labels=ids)
    for layer in model.transformer.h:
        layer.attn.requires_grad_(False)
    model(ids, labels=ids).loss.backward()
    assert model.transformer.wte.weight.grad.abs().sum() > 0


def test_transformers_gets_a_cache_that_is_smaller(qcqa, built, tmp_path):
    """Falcon's class takes fewer heads, and caches each once for each of its query heads."""
    source = built(Variant(family("falcon")))
    qcqa.run("convert", source, "-o", tmp_path / "out", "--groups", 4, "--cardinality", "equal", "--target", "transformers")
    model, ids = load(tmp_path / "out"), reference.token_ids(VOCABULARY)[:1, :8]
    assert cache_bytes_per_token(model, ids) == serving.claimed_kv_bytes(tmp_path / "out")


def test_mixtral_is_refused(qcqa, built, tmp_path):
    done = qcqa.run("convert", built(Variant(family("mixtral"))), "-o", tmp_path / "out", "--groups", 3, "--cardinality",
                    "arbitrary", "--layout", "remote-code", expect=2)
    assert "mixtral" in done.stderr and not (tmp_path / "out").exists()


def test_stock_classes_do_not_load_it_by_mistake(qcqa, built, tmp_path):
    source = built(Variant(family("mistral")))
    plan = per_layer_plan(qcqa, Variant(family("mistral")), source, tmp_path)
    qcqa.run("convert", source, "-o", tmp_path / "out", *plan, "--layout", "remote-code")
    with pytest.raises(Exception, match="trust_remote_code"):
        transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", trust_remote_code=False)
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["model_type"] == "qcqa_mistral" and len(config["kv_heads_per_layer"]) == 3
    done = qcqa.run("search", tmp_path / "out", "-o", tmp_path / "again.json", expect=2)
    assert "has been converted already" in done.stderr
