"""`qcqa evaluate` computes what the unmodified transformers classes compute."""

import dataclasses
import json
import math

import jsonschema
import pytest
import safetensors.torch
import sentencepiece
import torch

import reference
from architectures import FALCON_MHA, FALCON_MQA, FALCON_RW, FAMILIES, VOCABULARY, Variant, family

TOLERANCE = 1e-3  # float32 logits


def rope(**values):
    return ("rope_parameters", {"rope_theta": 10000.0, **values})


# Each row exercises a branch that the family's plain variant does not take.
SPECIAL = {
    "tied": Variant(family("llama"), extra=(("tie_word_embeddings", True),)),
    "mlp-bias": Variant(family("llama"), extra=(("mlp_bias", True),)),
    "head-dim": Variant(family("llama"), extra=(("head_dim", 12),)),
    "theta": Variant(family("llama"), extra=(rope(rope_theta=500.0, rope_type="default"),)),
    "linear": Variant(family("llama"), extra=(rope(rope_type="linear", factor=4.0),)),
    "dynamic": Variant(family("llama"), extra=(rope(rope_type="dynamic", factor=4.0),)),
    "llama3": Variant(family("llama"), extra=(rope(rope_type="llama3", factor=8.0, low_freq_factor=1.0,
                                                   high_freq_factor=4.0, original_max_position_embeddings=32),)),
    "yarn": Variant(family("qwen2"), extra=(rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=16),)),
    "longrope": Variant(family("phi3"), extra=(("original_max_position_embeddings", 32), ("max_position_embeddings", 128),
                                               rope(rope_type="longrope", short_factor=[1.0, 1.1, 1.3, 1.7],
                                                    long_factor=[1.0, 2.0, 3.5, 5.0]))),
    "partial-phi3": Variant(family("phi3"), extra=(rope(rope_type="default", partial_rotary_factor=0.5),)),
    "window": Variant(family("mistral"), extra=(("sliding_window", 7),)),
    "window-from-layer": Variant(family("qwen2"), extra=(("use_sliding_window", True), ("sliding_window", 5),
                                                         ("max_window_layers", 1))),
    "window-alternating": Variant(family("gemma2"), extra=(("sliding_window", 6),)),
    "window-starcoder2": Variant(family("starcoder2"), extra=(("sliding_window", 9),)),
    "softcaps": Variant(family("gemma2"), extra=(("attn_logit_softcapping", 1.5), ("final_logit_softcapping", 2.0),
                                                 ("query_pre_attn_scalar", 3))),
    "no-softcaps": Variant(family("gemma2"), extra=(("attn_logit_softcapping", None), ("final_logit_softcapping", None))),
    "sequential-neox": Variant(family("gpt_neox"), extra=(("use_parallel_residual", False),)),
    "parallel-stablelm": Variant(family("stablelm"), extra=(("use_parallel_residual", True),)),
    "multipliers": Variant(family("granite"), extra=(("embedding_multiplier", 3.0), ("residual_multiplier", 0.4),
                                                     ("attention_multiplier", 0.2), ("logits_scaling", 1.7))),
    "head-norm-phi": Variant(family("phi"), extra=(("qk_layernorm", True),)),
    "gelu-llama": Variant(family("llama"), extra=(("hidden_act", "gelu"),)),
    "head-dim-qwen2": Variant(family("qwen2"), extra=(("head_dim", 12),)),
    "head-dim-phi": Variant(family("phi"), extra=(("head_dim", 12),)),
    "head-dim-starcoder2": Variant(family("starcoder2"), extra=(("head_dim", 12),)),
    "alpha-hunyuan": Variant(family("hunyuan_v1_dense"), extra=(rope(rope_type="dynamic", factor=1.0, alpha=50.0),)),
    "no-clip": Variant(family("olmo"), extra=(("clip_qkv", None),)),
    "experts-not-normalised": Variant(family("qwen3_moe"), extra=(("norm_topk_prob", False), ("mlp_only_layers", []))),
    "experts-normalised": Variant(family("qwen2_moe"), extra=(("norm_topk_prob", True), ("decoder_sparse_step", 1))),
    "experts-in-no-layer": Variant(family("qwen3_moe"), extra=(("mlp_only_layers", [0, 1, 2]),)),
    "experts-of-one-group": Variant(family("glm4_moe"), extra=(("n_group", 1), ("topk_group", 1),
                                                               ("norm_topk_prob", False))),
    "experts-in-some-layers": Variant(family("ernie4_5_moe"), extra=(
        ("moe_layer_start_index", 0), ("moe_layer_end_index", 1), ("moe_layer_interval", 2),
        ("moe_num_shared_experts", 0))),
    "length-beside-ministral3": Variant(family("ministral3"), extra=(("original_max_position_embeddings", 20),)),
    "longrope-phimoe": Variant(family("phimoe"), extra=(("sliding_window", None), rope(
        rope_type="longrope", short_factor=[1.5] * 4, long_factor=[2.5] * 4, short_mscale=1.3, long_mscale=0.7,
        original_max_position_embeddings=16))),
    "scale-mpt": Variant(family("mpt"), extra=(("attn_config", {"softmax_scale": 0.3}),)),
    "relu2-neox": Variant(family("gpt_neox"), extra=(("hidden_act", "relu2"),)),
    "one-kv-head-gpt_bigcode": Variant(family("gpt_bigcode"), extra=(("multi_query", True), ("tie_word_embeddings", True))),
    "one-norm-falcon": Variant(family("falcon"), kv_heads=2, extra=(("num_ln_in_parallel_attn", 1), ("bias", False))),
    "falling-scores-falcon": Variant(family("falcon"), kv_heads=2, extra=(("alibi", True),)),
    "falcon-rw": Variant(FALCON_RW),
    # Slopes that bfloat16 rounds, and positions at which their products are rounded.
    "falcon-rw-12-heads": Variant(FALCON_RW, extra=(("num_attention_heads", 12), ("hidden_size", 96))),
    "falcon-heads": Variant(FALCON_MHA),
    "falcon-one-kv-head": Variant(FALCON_MQA),
}

STORED = [Variant(family("llama"), kv_heads=2, dtype=dtype, storage=storage)
          for dtype, storage in (("bfloat16", "sharded-safetensors"), ("float16", "bin"))]
ALL = ([pytest.param(Variant(f), id=f.name) for f in FAMILIES if f.runs] +
       [pytest.param(Variant(f, kv_heads=2), id=f"{f.name}-gqa") for f in FAMILIES if f.grouped and f.runs] +
       [pytest.param(variant, id=str(variant)) for variant in STORED] +
       [pytest.param(variant, id=name) for name, variant in SPECIAL.items()])


def documents(vocabulary, lengths=(40, 3, 17, 40, 2, 64), seed=5):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(3, vocabulary, (length,), generator=generator).tolist() for length in lengths]


def write_ids(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def dumped_logits(qcqa, model, rows, folder, *options):
    folder.mkdir(parents=True, exist_ok=True)
    ids = write_ids(folder / "ids.jsonl", rows)
    result = qcqa.json("evaluate", model, "--token-ids", ids, "--context", max(map(len, rows)), "--json", "-", "-q",
                       "--dump-logits", folder / "logits", *options)
    return result, safetensors.torch.load_file(folder / "logits/model.safetensors")["logits"]


@torch.no_grad()
def expected_logits(model, rows):
    """One row at a time: what a window gives must not depend on the windows beside it."""
    return torch.cat([model(torch.tensor([row])).logits[0] for row in rows])


def cross_entropy(logits, rows):
    """(losses per row) of the tokens but the first."""
    losses, at = [], 0
    for row in rows:
        scores = torch.log_softmax(logits[at : at + len(row) - 1].double(), -1)
        losses.append(-scores.gather(-1, torch.tensor(row[1:])[:, None])[:, 0])
        at += len(row)
    return losses


@pytest.mark.parametrize("variant", ALL)
def test_logits_equal_transformers(qcqa, built, tmp_path, variant):
    source = built(variant)
    rows = documents(VOCABULARY)
    result, found = dumped_logits(qcqa, source, rows, tmp_path)
    expected = expected_logits(reference.load(source), rows)
    assert found.shape == expected.shape
    assert reference.largest_difference(found, expected) <= TOLERANCE

    losses = torch.cat(cross_entropy(expected, rows))
    assert result["tokens"] == len(losses) and result["documents"] == len(rows)
    assert result["cross_entropy"] == pytest.approx(float(losses.mean()), rel=1e-5)
    assert result["perplexity"] == pytest.approx(math.exp(float(losses.mean())), rel=1e-5)


def test_old_config_keys_are_read(qcqa, built, tmp_path):
    """rope_theta, rope_scaling and torch_dtype beside one another, as before transformers 5."""
    source = built(SPECIAL["llama3"])
    rows = documents(VOCABULARY)
    folder = reference.write_like(source, reference.read_tensors(source), tmp_path / "old")
    config = json.loads((folder / "config.json").read_text())
    scaling = config.pop("rope_parameters")
    config["rope_theta"] = scaling.pop("rope_theta")
    config["rope_scaling"] = {"type" if key == "rope_type" else key: value for key, value in scaling.items()}
    config["torch_dtype"] = config.pop("dtype")
    (folder / "config.json").write_text(json.dumps(config))
    _, found = dumped_logits(qcqa, folder, rows, tmp_path)
    assert reference.largest_difference(found, expected_logits(reference.load(source), rows)) <= TOLERANCE


def test_comparison_with_a_reference(qcqa, built, tmp_path):
    source = built(Variant(family("llama")))
    qcqa.convert(source, tmp_path / "out", "--groups", 2, "--cardinality", "equal", "--layout", "gqa")
    rows = documents(VOCABULARY, lengths=(30, 12, 45, 20, 33))
    result, _ = dumped_logits(qcqa, tmp_path / "out", rows, tmp_path / "work", "--reference", source)

    converted, original = (expected_logits(reference.load(folder), rows).double() for folder in (tmp_path / "out", source))
    ends = torch.tensor([len(row) for row in rows]).cumsum(0) - 1
    scored = torch.ones(len(converted), dtype=torch.bool).index_fill_(0, ends, False)
    log_p, log_q = torch.log_softmax(original[scored], -1), torch.log_softmax(converted[scored], -1)
    divergences = (log_p.exp() * (log_p - log_q)).sum(-1)
    compared = result["reference"]
    assert compared["kl_mean"] == pytest.approx(float(divergences.mean()), rel=1e-4)
    assert compared["kl_p99"] == pytest.approx(float(divergences.sort().values[math.ceil(0.99 * len(divergences)) - 1]), rel=1e-4)
    agreement = (log_p.argmax(-1) == log_q.argmax(-1)).double().mean()
    assert compared["top1_agreement"] == pytest.approx(float(agreement))

    ours, theirs = cross_entropy(converted, rows), cross_entropy(original, rows)
    paired = [a - b for a, b in zip(ours, theirs)]
    difference = float(torch.cat(paired).mean())
    assert compared["difference"] == pytest.approx(difference, rel=1e-4)
    assert result["cross_entropy"] == pytest.approx(float(torch.cat(ours).mean()), rel=1e-5)
    # Documents are clusters: the error of a ratio of their totals.
    totals = torch.tensor([float(d.sum()) - difference * len(d) for d in paired])
    count = sum(len(d) for d in paired)
    expected = math.sqrt(float(totals.square().sum()) * len(rows) / (len(rows) - 1)) / count
    assert compared["difference_error"] == pytest.approx(expected, rel=1e-3)


def test_limit_on_the_increase(qcqa, built, tmp_path):
    source = built(Variant(family("llama")))
    qcqa.convert(source, tmp_path / "out", "--groups", 1, "--cardinality", "equal", "--layout", "gqa")
    ids = write_ids(tmp_path / "ids.jsonl", documents(VOCABULARY))
    options = ["evaluate", source, "--token-ids", ids, "--context", 64, "--reference"]
    increase = qcqa.json(*options, tmp_path / "out", "--json", "-", "-q")
    increase = increase["perplexity"] / increase["reference"]["perplexity"] - 1
    assert abs(increase) > 0.01
    # Random models know nothing of the text: whichever is worse serves as the one that got worse.
    worse, better = (source, tmp_path / "out") if increase > 0 else (tmp_path / "out", source)
    options[1] = worse
    qcqa.run(*options, worse, "--max-perplexity-increase", "0%")
    missed = qcqa.run(*options, better, "--max-perplexity-increase", "0.5%", expect=1)
    assert "0.5%" in missed.stderr
    qcqa.run(*options, better, "--max-perplexity-increase", "1000")


def test_run_puts_the_evaluation_into_the_report(qcqa, built, tmp_path):
    source = built(Variant(family("llama")))
    rows = documents(VOCABULARY)
    ids = write_ids(tmp_path / "ids.jsonl", rows)
    qcqa.run("run", source, "--kv", 0.5, "-o", tmp_path / "out", "--generations", 10, "--merge", "mean", "--token-ids", ids)
    report = json.loads((tmp_path / "out/qcqa-report.json").read_text())
    jsonschema.validate(report, qcqa.json("report", "--schema"))
    losses = torch.cat(cross_entropy(expected_logits(reference.load(tmp_path / "out"), rows), rows))
    assert report["evaluation"]["cross_entropy"] == pytest.approx(float(losses.mean()), rel=1e-5)
    original = torch.cat(cross_entropy(expected_logits(reference.load(source), rows), rows))
    assert report["evaluation"]["reference"]["perplexity"] == pytest.approx(math.exp(float(original.mean())), rel=1e-5)


def test_real_model_gives_the_known_perplexities(qcqa, shared, tmp_path):
    """First 120 documents of the development text, 23,269 predicted tokens; measured with transformers."""
    model, text = shared / "models/stories15M", shared / "data/tinystories_dev.jsonl"
    for needed in (model, text):
        if not needed.exists():
            pytest.skip(f"no {needed}")

    def perplexity(folder):
        result = qcqa.json("evaluate", folder, "--text", text, "--context", 256, "--truncate", "--max-documents", 120,
                           "--json", "-", "-q")
        assert (result["tokens"], result["documents"]) == (23269, 120)
        return result["perplexity"]

    assert perplexity(model) == pytest.approx(2.885, abs=6e-4)
    known = {(3, "contiguous"): 132.8, (3, "equal"): 71.8, (2, "arbitrary"): 324.6}
    for (groups, cardinality), expected in known.items():
        out = tmp_path / f"{groups}-{cardinality}"
        qcqa.convert(model, out, "--groups", groups, "--cardinality", cardinality, "--layout", "expanded")
        assert perplexity(out) == pytest.approx(expected, abs=0.06)


def test_real_model_gives_the_logits_of_transformers(qcqa, shared, tmp_path):
    model = shared / "models/stories15M"
    if not model.exists():
        pytest.skip(f"no {model}")
    rows = documents(32000, lengths=(256, 31, 2))
    _, found = dumped_logits(qcqa, model, rows, tmp_path)
    assert reference.largest_difference(found, expected_logits(reference.load(model), rows)) <= TOLERANCE


def test_real_model_says_what_transformers_says(qcqa, shared):
    """Greedy, token by token; "Once" must be followed by the space that its next token begins with."""
    model = shared / "models/stories15M"
    if not model.exists():
        pytest.skip(f"no {model}")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model / "tokenizer.model"))
    prompt = torch.tensor([[pieces.bos_id(), *pieces.encode("Once")]])
    expected = reference.load(model).generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=40,
                                              do_sample=False)
    sample = qcqa.json("evaluate", model, "--sample", "Once", "--sample-tokens", 40, "--json", "-", "-q")["sample"]
    assert sample["text"] == pieces.decode(expected[0].tolist())
    assert sample["kv_cache_positions"] == prompt.shape[1] + 40
    assert sample["kv_cache_bytes"] == sample["kv_cache_positions"] * 6 * 2 * 6 * 48 * 4  # layers, K and V, heads, dim, float32


def test_token_ids_out_of_range(qcqa, built, tmp_path):
    ids = write_ids(tmp_path / "ids.jsonl", [[1, 5, VOCABULARY]])
    done = qcqa.run("evaluate", built(Variant(family("llama"))), "--token-ids", ids, "--context", 64, "-q", expect=2)
    assert len(done.stderr.strip().splitlines()) == 1 and str(VOCABULARY) in done.stderr
