"""llama.cpp loads every GGUF file, computes what `qcqa evaluate` computes, splits text as the source's tokenizer does,
and its KV cache has the size that we claim."""

import functools
import json
import unicodedata

import numpy
import pytest
import sentencepiece
import tokenizers

import serving
import tokenizer_models
from architectures import FALCON_MHA, Variant, family
from conftest import plan_labels

TOLERANCE = 1e-3  # float32 logits of order 1
CELLS = 2048  # of the KV cache, which llama.cpp reports in MiB with two digits

LLAMA3_ROPE = ("rope_parameters", {"rope_theta": 10000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                   "high_freq_factor": 4.0, "original_max_position_embeddings": 32})
MODELS = {
    "llama": Variant(family("llama")),  # with biases
    "llama-gqa-tied": Variant(family("llama"), kv_heads=4, extra=(("attention_bias", False), ("tie_word_embeddings", True))),
    "llama-rope": Variant(family("llama"), extra=(("attention_bias", False), LLAMA3_ROPE)),
    "head-dim": Variant(family("llama"), extra=(("attention_bias", False), ("head_dim", 12))),
    "mistral-bf16": Variant(family("mistral"), dtype="bfloat16"),
    "qwen2": Variant(family("qwen2")),
    "phi3": Variant(family("phi3")),
    "qwen3": Variant(family("qwen3")),
    # Their classes have no setting for KV heads.
    "gpt2": Variant(family("gpt2")),
    "gpt_neox": Variant(family("gpt_neox")),
    "gpt_neox-sequential": Variant(family("gpt_neox"), extra=(("use_parallel_residual", False), ("hidden_act", "gelu_new"))),
    "gpt_neox-tied": Variant(family("gpt_neox"), extra=(("tie_word_embeddings", True), ("attention_bias", False))),
    "gpt2-tied": Variant(family("gpt2"), extra=(("tie_word_embeddings", True),)),
    "bloom-tied": Variant(family("bloom"), extra=(("tie_word_embeddings", True),)),
    "mpt-tied": Variant(family("mpt"), extra=(("tie_word_embeddings", True),)),
    "bloom": Variant(family("bloom")),
    "mpt": Variant(family("mpt")),
    "gpt_bigcode": Variant(family("gpt_bigcode")),
    "gpt_bigcode-tied": Variant(family("gpt_bigcode"), extra=(("tie_word_embeddings", True),)),
    "falcon": Variant(family("falcon"), extra=(("bias", False),)),
    "falcon-tied": Variant(family("falcon"), kv_heads=4, extra=(
        ("bias", False), ("num_ln_in_parallel_attn", 1), ("tie_word_embeddings", True))),
    "falcon-heads": Variant(FALCON_MHA),
}
ARCHITECTURES = {"qwen2": "qwen2", "qwen3": "qwen3", "gpt2": "gpt2", "gpt_neox": "gptneox", "gpt_neox-sequential": "gptneox",
                 "bloom": "bloom", "mpt": "mpt", "gpt_bigcode": "starcoder", "falcon": "falcon", "falcon-heads": "falcon"}
CASES = [("llama", "uniform"), ("llama", "unequal"), ("llama", "per-layer"), ("llama-gqa-tied", "per-layer"),
         ("llama-rope", "uniform"), ("llama-rope", "per-layer"), ("head-dim", "per-layer"), ("mistral-bf16", "per-layer"),
         ("qwen2", "uniform"), ("qwen2", "per-layer"), ("phi3", "per-layer"), ("qwen3", "uniform"), ("gpt2", "uniform"),
         ("gpt_neox", "uniform"), ("gpt_neox-sequential", "uniform"), ("bloom", "contiguous"), ("mpt", "contiguous"),
         ("gpt_neox-tied", "uniform"), ("gpt2-tied", "uniform"), ("bloom-tied", "contiguous"), ("mpt-tied", "contiguous"),
         ("gpt_bigcode", "uniform"), ("gpt_bigcode-tied", "uniform"), ("falcon", "uniform"), ("falcon-tied", "uniform"),
         ("falcon-heads", "uniform")]
GELU = ("gpt2", "gpt_neox", "bloom", "mpt", "gpt_bigcode", "falcon")  # from a table of float16 there


@pytest.mark.parametrize("name,plan", CASES, ids=lambda value: value)
def test_gguf_equals_evaluate(qcqa, built, runtime, tmp_path, name, plan):
    variant = MODELS[name]
    source = serving.without_tokenizer(built(variant), tmp_path / "in")
    serving.convert(qcqa, source, tmp_path / "out", plan, "--format", "gguf")
    expanded = tmp_path / "expanded"
    serving.convert(qcqa, source, expanded, plan, "--layout", "expanded")
    assert plan_labels(tmp_path / "out") == plan_labels(expanded)

    rows = serving.documents()
    expected, logits = serving.evaluated(qcqa, expanded, rows, tmp_path / "expected")
    run = functools.partial(runtime("llama_cpp").run, model=str(tmp_path / "out/model.gguf"), cache="f32")
    exact = run(tmp_path / "exact", rows=rows, flash_attention=False, generate={"prompt": rows[0][:8], "tokens": 8})
    if variant.dtype == "float32":
        assert numpy.abs(exact["logits"] - logits).max() <= (20 if variant.family.name in GELU else 1) * TOLERANCE
    found = run(tmp_path / "found", rows=rows, context=CELLS)
    for result in (exact, found):
        assert serving.perplexity(result["logits"], rows) == pytest.approx(expected["perplexity"], rel=0.005)
    architecture = ARCHITECTURES.get(name.removesuffix("-tied"), "llama") if plan in ("uniform", "contiguous") else "deci"
    assert f"general.architecture str = {architecture}" in " ".join(str(found["log"]).split())
    # We claim bytes in the model's own type; here the cache is in float32.
    claimed = serving.claimed_kv_bytes(tmp_path / "out") * (1 if variant.dtype == "float32" else 2)
    assert float(found["cache_mib"][0]) == pytest.approx(claimed * int(found["cells"]) / 2**20, abs=0.011)
    # Decoding from the cache gives what one pass over the whole text gives.
    tokens = rows[0][:8] + exact["generated"].tolist()
    _, whole = serving.evaluated(qcqa, expanded, [tokens], tmp_path / "whole")
    assert exact["generated"].tolist() == whole[7:-1].argmax(-1).tolist()


def test_a_run_for_llama_cpp_keeps_heads_at_their_places_where_scores_fall_with_distance(qcqa, built, tmp_path):
    source = serving.without_tokenizer(built(Variant(family("bloom"))), tmp_path / "in")
    qcqa.run("run", source, "-o", tmp_path / "out", "--target", "llama.cpp", "--kv", 0.5, "--merge", "mean")
    assert plan_labels(tmp_path / "out") == [[0, 0, 1, 1, 2, 2, 3, 3]] * 3
    for options, why in (((("--groups", 4, "--cardinality", "equal"), "not neighbours")),
                         ((("--groups", 3, "--cardinality", "arbitrary"), "no places for padding"))):
        done = qcqa.run("convert", source, "-o", tmp_path / "no", *options, "--layout", "gqa", "--format", "gguf", expect=2)
        assert why in done.stderr and not (tmp_path / "no").exists()
    done = qcqa.run("convert", source, "-o", tmp_path / "no", "--groups", 4, "--layout", "deci", "--format", "gguf", expect=2)
    assert "what Llama computes" in done.stderr


JSON_TOKENIZERS = ["gpt2", "llama3", "qwen2", "digits", "llama2", "llama2_added", "gemma", "metaspace_always", "metaspace_first"]
PIECE_TOKENIZERS = ["bpe_identity", "bpe_user_defined"]
REFUSED = ["gpt2_prefix_nfc", "deepseek", "falcon", "o200k_nfkc", "starcoder", "accents", "whitespace", "no_fallback",
           "split_removed", "bpe_nfkc", "unigram_nfkc", "unigram_fallback"]


def plainly_added(tokenizer):
    """In llama.cpp, added tokens are found anywhere and before anything else, and take no spaces with them."""
    document = json.loads(tokenizer.to_str())
    for token in document["added_tokens"]:
        token.update(single_word=False, lstrip=False, rstrip=False, normalized=False)
    return tokenizers.Tokenizer.from_str(json.dumps(document))


@pytest.fixture(scope="module")
def tokenizers_by_name(shared):
    texts = tokenizer_models.mixed(shared)
    models = {name: plainly_added(model) for name, model in tokenizer_models.json_models(texts).items()}
    return {**models, **tokenizer_models.piece_models(texts)}


def comparable(name, text):
    """llama.cpp reads strings up to a NUL, normalises nothing, and puts a space before every piece of text, where
    a Metaspace does not before a space."""
    if "\0" in text or unicodedata.normalize("NFC", text) != text and name in ("qwen2", "metaspace_first"):
        return False
    return not (name.startswith("metaspace") and (text[:1] in (" ", "\u2581") or "<s>" in text))


@pytest.fixture
def with_tokenizer(built, tokenizers_by_name, tmp_path):
    """name of a tokenizer -> a model folder with it"""

    def make(name):
        folder = serving.without_tokenizer(built(Variant(family("llama"), extra=(("vocab_size", 1700),))), tmp_path / "in")
        tokenizer = tokenizers_by_name[name]
        if isinstance(tokenizer, bytes):
            (folder / "tokenizer.model").write_bytes(tokenizer)
        else:
            tokenizer.save(str(folder / "tokenizer.json"))
        return folder

    return make


@pytest.mark.parametrize("name", JSON_TOKENIZERS + PIECE_TOKENIZERS)
def test_token_ids_agree(qcqa, runtime, shared, tokenize, with_tokenizer, tokenizers_by_name, tmp_path, name):
    serving.convert(qcqa, with_tokenizer(name), tmp_path / "out", "uniform", "--format", "gguf")
    texts = [text for text in tokenizer_models.NASTY + tokenizer_models.shared_texts(shared) if comparable(name, text)]
    tokenizer = tokenizers_by_name[name]
    if name in PIECE_TOKENIZERS:
        expected = [sentencepiece.SentencePieceProcessor(model_proto=tokenizer).encode(text) for text in texts]
    else:
        expected = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    found = runtime("llama_cpp").run(tmp_path / "run", model=str(tmp_path / "out/model.gguf"), texts=texts,
                                     special=name in JSON_TOKENIZERS)
    ids = [row.tolist() for row in numpy.split(found["ids"], numpy.cumsum(found["lengths"])[:-1])]
    wrong = [f"{text[:40]!r}: {a[:12]}, not {b[:12]}" for text, a, b in zip(texts, ids, expected) if a != b]
    assert not wrong, f"{len(wrong)} of {len(texts)}:\n" + "\n".join(wrong[:10])
    # Reading the file back, qcqa finds special tokens in a text, as a runtime does with a prompt.
    plain = [(text, row) for text, row in zip(texts, ids) if name in JSON_TOKENIZERS or "<" not in text]
    again = tokenize(tmp_path / "out/model.gguf", of=[text for text, _ in plain])
    wrong = [f"{text[:40]!r}: {a['ids'][:12]}, not {b[:12]}" for a, (text, b) in zip(again, plain) if a["ids"] != b]
    assert not wrong, f"read back: {len(wrong)} of {len(plain)}:\n" + "\n".join(wrong[:10])


@pytest.mark.parametrize("name", REFUSED)
def test_tokenizers_that_llama_cpp_splits_otherwise_are_refused(qcqa, with_tokenizer, tmp_path, name):
    done = qcqa.run("convert", with_tokenizer(name), "-o", tmp_path / "out", "--groups", 4, "--format", "gguf", expect=2)
    assert "--format gguf" in done.stderr and not (tmp_path / "out").exists()


def test_added_words_are_refused(qcqa, with_tokenizer, tokenizers_by_name, tmp_path):
    folder = with_tokenizer("gpt2")
    document = json.loads((folder / "tokenizer.json").read_text())
    document["added_tokens"][0]["single_word"] = True
    (folder / "tokenizer.json").write_text(json.dumps(document))
    done = qcqa.run("convert", folder, "-o", tmp_path / "out", "--groups", 4, "--format", "gguf", expect=2)
    assert "single_word" in done.stderr


def test_real_model(qcqa, runtime, shared, tmp_path):
    """A trained model, whose text stops making sense with the least mistake; the plan that the format's notes tell of."""
    source = shared / "models/stories15M"
    qcqa.run("search", source, "-o", tmp_path / "report.json", "-q")
    plan = ["--report", tmp_path / "report.json", "--kv", 0.6]
    qcqa.run("convert", source, "-o", tmp_path / "out", *plan, "--format", "gguf")
    qcqa.run("convert", source, "-o", tmp_path / "expanded", *plan, "--layout", "expanded")
    text = (shared / "data/tinystories_dev.txt").read_text()[:5000]
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(source / "tokenizer.model"))
    ids = tokenizer.encode(text)
    rows = [[tokenizer.bos_id(), *ids[at : at + 255]] for at in range(0, 3 * 255, 255)]
    expected, logits = serving.evaluated(qcqa, tmp_path / "expanded", rows, tmp_path / "expected")
    found = runtime("llama_cpp").run(tmp_path / "run", model=str(tmp_path / "out/model.gguf"), rows=rows, context=2048,
                                     texts=[text])
    assert found["ids"].tolist() == ids
    assert serving.perplexity(found["logits"], rows) == pytest.approx(expected["perplexity"], rel=0.005)
    assert serving.claimed_kv_bytes(tmp_path / "out") == 21 * 2 * 48 * 4
    assert float(found["cache_mib"][0]) == pytest.approx(21 * 2 * 48 * 4 * 2048 / 2**20, abs=0.011)
