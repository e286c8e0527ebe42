"""Converted checkpoints load in the unmodified transformers classes and compute what mean pooling computes."""

import json

import pytest
import torch
import transformers

import reference
from architectures import FALCON_MHA, FALCON_MQA, FALCON_RW, FAMILIES, QUERY_HEADS, VOCABULARY, Variant, family
from conftest import plan_labels
from test_composites import COMPOSITES

TOLERANCE = 1e-4  # float32 logits of order 1

MHA = [Variant(f) for f in FAMILIES]
GQA = [Variant(f, kv_heads=4) for f in FAMILIES if f.grouped]
STORED = [
    Variant(family("llama"), dtype=dtype, storage=storage)
    for dtype in ("float32", "bfloat16", "float16")
    for storage in ("safetensors", "sharded-safetensors", "bin", "sharded-bin")
    if (dtype, storage) != ("float32", "safetensors")
]
UNUSUAL = [
    Variant(family("llama"), extra=(("head_dim", 12),)),
    Variant(family("llama"), extra=(("tie_word_embeddings", True),)),
    Variant(family("qwen2"), kv_heads=4, dtype="bfloat16", storage="sharded-safetensors"),
    Variant(family("phi3"), kv_heads=4, dtype="bfloat16", storage="sharded-bin"),
    Variant(family("gpt_neox"), dtype="bfloat16", storage="sharded-safetensors"),
    Variant(family("falcon"), kv_heads=4, extra=(("num_ln_in_parallel_attn", 1),)),
    Variant(FALCON_RW),
    Variant(FALCON_MHA),
]
ALL = MHA + GQA + STORED + UNUSUAL
STOCK = [variant for variant in ALL if variant.family.grouped]
CONTIGUOUS = [Variant(family("llama")), Variant(family("phi3")), Variant(family("falcon"), extra=(("alibi", True),)), *(v for v in UNUSUAL if v.family.grouped)]


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def kv_heads(variant):
    return variant.kv_heads if variant.family.grouped else QUERY_HEADS


@pytest.fixture(scope="session")
def pooled(built, tmp_path_factory):
    """(variant, labels) -> logits of the independent mean pool."""
    root, results = tmp_path_factory.mktemp("pooled"), {}

    def get(variant, labels):
        key = (str(variant), str(labels))
        if key not in results:
            source = built(variant)
            tensors, _ = reference.mean_pool(variant.family, reference.read_tensors(source), config_of(source), labels)
            results[key] = reference.logits_of(reference.write_like(source, tensors, root / str(len(results))))
        return results[key]

    return get


def tolerance(variant):
    # In 16 bits a mean may round to either neighbour; a neighbour is 2^-8 (bfloat16) or 2^-11 (float16) away.
    # What linear attention and a router make of rounding is more; in float64, nothing is left.
    widely = 10 if variant.family.name == "qwen3_next" else 1
    return widely * {"float32": TOLERANCE, "float16": 10 * TOLERANCE, "bfloat16": 50 * TOLERANCE}[variant.dtype]


def test_every_supported_family_is_tested(supported):
    of_composites = {name for c in COMPOSITES for name in (c.name, c.text["model_type"])}
    assert supported == {f.name for f in FAMILIES} | of_composites | {"internlm2", "minicpm", "baichuan"}  # test_remote_families.py


@pytest.mark.parametrize("variant,cardinality", [*((v, "equal") for v in STOCK),
                                                 *((v, "contiguous") for v in CONTIGUOUS)], ids=str)
def test_gqa_layout_equals_mean_pool(built, converted, pooled, variant, cardinality):
    groups = kv_heads(variant) // 2
    folder, labels = converted(variant, groups, cardinality, "gqa")
    assert config_of(folder)[variant.family.kv_heads_key] == groups
    expected = pooled(variant, labels)
    assert reference.largest_difference(reference.logits_of(folder), expected) <= tolerance(variant)
    # Pooling random heads must show, or the comparison above would prove nothing.
    assert reference.largest_difference(expected, reference.logits_of(built(variant))) > 0.05


# StableLM's class does not read head_dim and cannot be padded; Qwen2 becomes Llama, and Llama becomes Mistral where
# transformers refuses its head count.
PADDED = [v for v in MHA + GQA if v.family.grouped and v.family.query_heads != "fixed"]
PADDED += [Variant(family("llama"), extra=(("attention_bias", False),))]


@pytest.mark.parametrize("variant", PADDED, ids=str)
def test_unequal_groups_are_padded(converted, pooled, variant):
    bound = variant.family.query_heads == "divisors" and not variant.extra
    groups = kv_heads(variant) // 2 if bound else 3
    folder, labels = converted(variant, groups, "arbitrary", "gqa")
    config = config_of(folder)
    sizes = {layer.count(group) for layer in labels for group in set(layer)}
    if len(sizes) > 1:
        assert config["num_attention_heads"] >= groups * max(sizes) * (QUERY_HEADS // kv_heads(variant)) > QUERY_HEADS
    else:
        assert bound and config["num_attention_heads"] == QUERY_HEADS
    assert config["num_key_value_heads"] == groups and config.get("head_dim", 8) == 64 // QUERY_HEADS
    assert config["model_type"] == ("mistral" if variant.extra else
                                    "llama" if variant.family.name == "qwen2" and len(sizes) > 1 else variant.family.name)
    assert reference.largest_difference(reference.logits_of(folder), pooled(variant, labels)) <= tolerance(variant)


@pytest.mark.parametrize("variant,cardinality", [*((v, "arbitrary") for v in MHA + GQA),
                                                 *((v, "equal") for v in MHA if not v.family.grouped)], ids=str)
def test_expanded_layout_equals_mean_pool(converted, pooled, variant, cardinality):
    groups = 3 if cardinality == "arbitrary" else kv_heads(variant) // 2
    folder, labels = converted(variant, groups, cardinality, "expanded")
    assert all(max(layer) + 1 == groups for layer in labels)
    assert reference.largest_difference(reference.logits_of(folder), pooled(variant, labels)) <= tolerance(variant)


@pytest.mark.parametrize("variant", STORED + UNUSUAL, ids=str)
def test_every_storage_is_read(converted, pooled, variant):
    folder, labels = converted(variant, 3, "arbitrary", "expanded")
    assert reference.largest_difference(reference.logits_of(folder), pooled(variant, labels)) <= tolerance(variant)


@pytest.mark.parametrize("variant", ALL, ids=str)
def test_other_tensors_are_untouched(built, converted, variant):
    source = built(variant)
    folder, _ = converted(variant, 3, "arbitrary", "expanded")
    before, after = reference.read_tensors(source), reference.read_tensors(folder)
    attention = {name for layer in range(reference.geometry(config_of(source))["layers"])
                 for name in reference.attention_names(variant.family, layer, before)}
    assert attention
    # A tied output matrix that the source stores need not be stored, but nothing else may come or go.
    assert set(before) ^ set(after) <= {"lm_head.weight"}
    assert [n for n in before if n not in attention and n in after and not reference.same_bits(before[n], after[n])] == []
    assert [n for n in attention if before[n].dtype != after[n].dtype or before[n].shape != after[n].shape] == []


@pytest.mark.parametrize("variant", MHA + STORED + UNUSUAL, ids=str)
def test_identity_grouping_keeps_every_bit(built, converted, variant):
    source, heads = built(variant), kv_heads(variant)
    folder, labels = converted(variant, heads, "contiguous", "gqa" if variant.family.grouped else "expanded")
    assert labels == [list(range(heads))] * len(labels)
    before, after = reference.read_tensors(source), reference.read_tensors(folder)
    assert set(before) ^ set(after) <= {"lm_head.weight"}
    assert [n for n in before if n in after and not reference.same_bits(before[n], after[n])] == []


# What keys may differ by without a loss, where it is not "a complex number for each rotary plane (i, i + dims / 2) of the
# whole head".
NEIGHBOURS = {"codegen", "cohere", "cohere2", "ernie4_5", "ernie4_5_moe", "glm", "glm4", "gptj", "helium"}  # planes (2i, 2i + 1)
HALF_ROTATED = {"stablelm", "phi", "glm", "glm4", "nemotron", "gptj", "minimax_m2", "gpt_neox", "codegen"}  # any basis of the rest
NOT_ROTATED = {"opt", "biogpt", "gpt_neo", "gpt2", "gpt_bigcode", "bloom", "mpt"}
NORMED = {"cohere", "qwen3", "qwen3_moe", "gemma3_text", "exaone4", "hunyuan_v1_dense", "hunyuan_v1_moe", "olmo2", "olmo3",
          "olmoe", "flex_olmo", "glm4_moe", "apertus", "dots1", "minimax_m2", "qwen3_next", "qwen3_5_text",
          "qwen3_5_moe_text", "lfm2", "persimmon"}
GATED = {"qwen3_next", "qwen3_5_text", "qwen3_5_moe_text"}  # each number of a value by itself
CLIPPED = {"olmo", "olmoe", "mpt"}  # values are no other heads' in another basis, nor keys


def some_basis(dim, generator):
    """Of condition 4."""
    turns = torch.linalg.qr(torch.randn(2, dim, dim, generator=generator)).Q
    return turns[0] * torch.linspace(0.5, 2, dim) @ turns[1]


def key_basis(name, dim, generator):
    if name in NORMED:
        return torch.eye(dim)
    rotated = 0 if name in NOT_ROTATED else dim // 2 if name in HALF_ROTATED else dim
    planes = torch.arange(rotated).view(-1, 2) if name in NEIGHBOURS else torch.arange(rotated).view(2, -1).T
    rest = some_basis(dim - rotated, generator) if rotated < dim else torch.zeros(0, 0)
    basis = torch.block_diag(torch.zeros(rotated, rotated), rest)
    for first, second in planes.tolist():
        a, b = (torch.randn(2, generator=generator) + 1).tolist()
        basis[first, first] = basis[second, second] = a
        basis[first, second], basis[second, first] = -b, b
    return basis


def value_basis(name, dim, generator):
    return torch.diag(torch.randn(dim, generator=generator) + 1) if name in GATED else some_basis(dim, generator)


def in_another_basis(family, tensors, config):
    """Every odd key/value head of every layer as the one before it, up to what the family's attention leaves free."""
    generator = torch.Generator().manual_seed(7)
    shape = {**reference.geometry(config), "kv_heads": QUERY_HEADS}
    dim = shape["head_dim"]
    for place in reference.places_of_attention(config):
        slices = reference.kv_slices(family, place, tensors, shape)
        for part, basis_of in ((1, key_basis), (2, value_basis)):
            bases = [torch.eye(dim) if family.name in CLIPPED else basis_of(family.name, dim, generator)
                     for _ in range(QUERY_HEADS // 2)]
            for name, index in [(entry[0], entry[part]) for entry in slices if entry[part] is not None]:
                def changed(rows, index=index, gains=name.endswith("norm.weight")):
                    heads = rows[index]  # (heads, dim[, inputs])
                    for head, basis in enumerate(bases):
                        heads[2 * head + 1] = heads[2 * head] if gains else torch.tensordot(basis, heads[2 * head], 1)
                    rows = rows.clone()
                    rows[index] = heads
                    return rows

                tensors[name] = reference.on_rows(family, name, tensors[name], changed)
    return tensors


@pytest.mark.parametrize("name", [f.name for f in FAMILIES])
def test_heads_that_differ_by_what_is_free_merge_without_loss(qcqa, built, tmp_path, name):
    source = built(Variant(family(name)))
    config = json.loads((source / "config.json").read_text())
    tensors = in_another_basis(family(name), reference.read_tensors(source), config)
    model = reference.write_like(source, tensors, tmp_path / "model")
    expected = reference.logits_of(model)
    assert reference.largest_difference(expected, reference.logits_of(source)) > 0.05
    for merge, same in (("subspace", True), ("mean", name in CLIPPED)):
        labels = qcqa.convert(model, tmp_path / merge, "--groups", 4, "--cardinality", "equal", "--merge", merge,
                              "--layout", "gqa" if family(name).grouped else "expanded", "--fitness", "subspace")
        assert labels == [[0, 0, 1, 1, 2, 2, 3, 3]] * len(labels)
        assert (reference.largest_difference(reference.logits_of(tmp_path / merge), expected) <= 1e-3) == same


@pytest.mark.parametrize("name", [f.name for f in FAMILIES if not f.grouped])
def test_gqa_layout_is_refused_where_the_class_has_none(qcqa, built, tmp_path, name):
    source = built(Variant(family(name)))
    done = qcqa.run("convert", source, "-o", tmp_path / "out", "--groups", 4, "--cardinality", "contiguous",
                    "--layout", "gqa", expect=2)
    assert done.stdout == "" and done.stderr.strip().splitlines()[-1].startswith("qcqa: error: ")
    assert name in done.stderr and "expanded" in done.stderr
    assert not (tmp_path / "out").exists() and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("variant", [Variant(FALCON_MQA), Variant(family("gpt_bigcode"), extra=(("multi_query", True),))], ids=str)
def test_one_kv_head_is_nothing_to_merge(qcqa, built, tmp_path, variant):
    done = qcqa.run("convert", built(variant), "-o", tmp_path / "out", "--groups", 1, expect=2)
    assert "there is nothing to merge" in done.stderr and not (tmp_path / "out").exists()


def test_query_heads_stay_where_scores_fall_with_distance(qcqa, built, tmp_path):
    source = built(Variant(family("falcon"), extra=(("alibi", True),)))
    done = qcqa.run("convert", source, "-o", tmp_path / "out", "--groups", 4, "--cardinality", "equal", "--layout", "gqa", expect=2)
    assert "not neighbours" in done.stderr and not (tmp_path / "out").exists()
    done = qcqa.run("run", source, "-o", tmp_path / "out", "--kv", 0.5, "--target", "vllm", "--merge", "mean")
    assert "keeps keys and values once for each query head" in done.stderr
    assert plan_labels(tmp_path / "out") == [[0, 0, 1, 1, 2, 2, 3, 3]] * 3


def test_sharded_output_loads(qcqa, built, tmp_path):
    variant = Variant(family("llama"))
    source = built(variant)
    options = ["--groups", 2, "--cardinality", "equal", "--layout", "gqa"]
    qcqa.convert(source, tmp_path / "one", *options)
    qcqa.convert(source, tmp_path / "many", *options, "--max-shard-size", "60KB")

    index = json.loads((tmp_path / "many/model.safetensors.index.json").read_text())
    headers = reference.read_headers(tmp_path / "many")
    assert len(headers) > 1 and set(index["weight_map"].values()) == set(headers)
    assert all(header["__metadata__"] == {"format": "pt"} for header in headers.values())
    one, many = reference.read_tensors(tmp_path / "one"), reference.read_tensors(tmp_path / "many")
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in many.values())
    assert all(reference.same_bits(one[name], many[name]) for name in one)
    assert torch.equal(reference.logits_of(tmp_path / "one"), reference.logits_of(tmp_path / "many"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dtype_is_converted_and_recorded(qcqa, built, tmp_path, dtype):
    source = built(Variant(family("llama")))
    option = {"float16": "f16", "bfloat16": "bf16"}[dtype]
    qcqa.convert(source, tmp_path / "out", "--groups", 4, "--cardinality", "contiguous", "--layout", "gqa",
                 "--dtype", option)
    tensors = reference.read_tensors(tmp_path / "out")
    assert {tensor.dtype for tensor in tensors.values()} == {getattr(torch, dtype)}
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype="auto")
    assert model.dtype == getattr(torch, dtype)


def test_kv_cache_shrinks(qcqa, built, tmp_path):
    source = built(Variant(family("llama")))
    qcqa.convert(source, tmp_path / "out", "--groups", 2, "--cardinality", "equal", "--layout", "gqa")
    model = reference.load(tmp_path / "out")
    with torch.no_grad():
        result = model(reference.token_ids(VOCABULARY), use_cache=True)
    assert {layer.keys.shape[1] for layer in result.past_key_values.layers} == {2}
    # Decoding with the cache gives what one pass over the whole text gives.
    ids = reference.token_ids(VOCABULARY)[:1]
    longer = model.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=None)
    assert torch.equal(longer[:, ids.shape[1]:], reference.logits(model, longer).argmax(-1)[:, ids.shape[1] - 1 : -1])


def test_side_files_are_carried(qcqa, built, tmp_path):
    source = built(Variant(family("llama")))
    qcqa.convert(source, tmp_path / "out", "--groups", 2, "--cardinality", "equal", "--layout", "gqa")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja",
                 "tokenizer.model", "generation_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (source / name).read_bytes(), name
    (tmp_path / "out/tokenizer.model").unlink()  # not a real one
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("w5 w7 w11")["input_ids"] == [5, 7, 11]
    card = (tmp_path / "out/README.md").read_text()
    assert "qcqa convert" in card
    changed = {key for key, value in config_of(tmp_path / "out").items() if config_of(source).get(key) != value}
    assert changed <= {"num_key_value_heads", "head_dim", "dtype", "torch_dtype"}
