"""Token ids and decoded text equal those of transformers' AutoTokenizer, and of the Python packages below it: tokenizers
(tokenizer.json) and, where it is asked for, sentencepiece (tokenizer.model). QCQA_TOKENIZE names the helper program (default: build/release/tests/text/qcqa_tokenize)."""

import json
import os
import pathlib
import subprocess
import warnings

import pytest
import sentencepiece
import tokenizers

import tokenizer_folders
import tokenizer_models
from conftest import REPOSITORY

JSON_MODELS = ["gpt2", "gpt2_prefix_nfc", "llama3", "qwen2", "deepseek", "falcon", "o200k_nfkc", "digits", "starcoder",
               "accents", "whitespace", "llama2", "llama2_added", "gemma", "metaspace_always", "metaspace_first", "no_fallback",
               "no_fallback_not_fused", "no_unknown", "split_removed", "split_isolated", "split_merged_with_previous",
               "split_merged_with_next", "split_contiguous"]
PIECE_MODELS = ["bpe_identity", "bpe_nfkc", "bpe_user_defined", "unigram_nfkc", "unigram_fallback"]


@pytest.fixture(scope="session")
def texts(shared):
    return tokenizer_models.NASTY + ["\n".join(tokenizer_models.NASTY)] + tokenizer_models.shared_texts(shared)


@pytest.fixture(scope="session")
def tokenize(tmp_path_factory, texts):
    tool = pathlib.Path(os.environ.get("QCQA_TOKENIZE", REPOSITORY / "build/release/tests/text/qcqa_tokenize"))
    if not tool.exists():
        pytest.exit(f"{tool}: no such program; build the tests or set QCQA_TOKENIZE", returncode=2)
    file = tmp_path_factory.mktemp("texts") / "texts.jsonl"

    def run(folder, *options, of=texts):
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in of))
        done = subprocess.run([str(tool), str(folder), str(file), *options], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.split("\n") if line]

    return run


@pytest.fixture(scope="session")
def json_models(shared):
    return tokenizer_models.json_models(tokenizer_models.mixed(shared))


@pytest.fixture(scope="session")
def piece_models(shared):
    return tokenizer_models.piece_models(tokenizer_models.mixed(shared))


def test_descriptions_name_the_classes_of_transformers():
    from transformers.models.auto import tokenization_auto as auto

    classes, wrong = dict(auto.TOKENIZER_MAPPING_NAMES), []
    for file in sorted((REPOSITORY / "src/model/architectures").glob("*.json")):
        described = json.loads(file.read_text())
        tokenizer = described.get("tokenizer", {})
        for model_type in described["model_types"]:
            overrides = model_type in auto.MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS
            if model_type not in classes and not overrides:
                continue  # a part of another model, or a class in the folder: nothing to compare with
            found = tokenizer.get("class"), tokenizer.get("overrides_folders", False)
            if found != (classes.get(model_type), overrides):
                wrong.append(f"{model_type}: {found}, right {classes.get(model_type), overrides}")
    assert not wrong, "\n".join(wrong)


def compare(texts, ours, encode, decode):
    assert len(ours) == len(texts)
    ids, wrong = [encode(text) for text in texts], []
    for text, mine, right in zip(texts, ours, ids):
        if mine["ids"] != right:
            wrong.append(f"{text[:60]!r}: {mine['ids'][:30]}, not {right[:30]}")
    assert not wrong, f"{len(wrong)} of {len(texts)} texts have other ids:\n" + "\n".join(wrong[:10])
    for mine, right in zip(ours, map(decode, ids)):
        if mine["text"] != right:
            wrong.append(f"{mine['text'][:80]!r}, not {right[:80]!r}")
    assert not wrong, f"{len(wrong)} of {len(texts)} texts are decoded otherwise:\n" + "\n".join(wrong[:10])


def compare_json(texts, ours, reference):
    compare(texts, ours, lambda text: reference.encode(text, add_special_tokens=False).ids,
            lambda ids: reference.decode(ids, skip_special_tokens=True))


@pytest.mark.parametrize("name", JSON_MODELS)
def test_tokenizer_json_equals_the_package(name, json_models, texts, tokenize, tmp_path):
    folder = tokenizer_models.write(tmp_path / name, json_models[name])
    compare_json(texts, tokenize(folder), json_models[name])


@pytest.mark.parametrize("name", PIECE_MODELS)
def test_tokenizer_model_equals_the_library(name, piece_models, texts, tokenize, tmp_path):
    (tmp_path / "tokenizer.model").write_bytes(piece_models[name])
    reference = sentencepiece.SentencePieceProcessor(model_proto=piece_models[name])
    compare(texts, tokenize(tmp_path, "--sentencepiece"), reference.encode, reference.decode)


def test_the_shared_tokenizer_model_equals_the_library(shared, texts, tokenize):
    folder = shared / "models/stories15M"
    reference = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    compare(texts, tokenize(folder, "--sentencepiece"), reference.encode, reference.decode)


def auto_tokenizer(folder):
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transformers.AutoTokenizer.from_pretrained(folder)


def compare_auto(folder, texts, ours):
    """All ids, with those that the tokenizer puts around a text."""
    reference, wrong = auto_tokenizer(folder), []
    for text, mine in zip(texts, ours, strict=True):
        right = reference(text)["input_ids"]
        if mine["framed"] != right:
            wrong.append(f"{text[:60]!r}: {mine['framed'][:30]}, not {right[:30]} {reference.convert_ids_to_tokens(right[:30])}")
    assert not wrong, f"{len(wrong)} of {len(texts)} texts have other ids:\n" + "\n".join(wrong[:10])


@pytest.mark.parametrize("kind", tokenizer_folders.KINDS, ids=lambda kind: kind.__name__)
def test_a_folder_of_files_equals_auto_tokenizer(kind, tokenize, tmp_path):
    model_type = kind(tmp_path)
    if not (tmp_path / "config.json").exists():
        tokenizer_folders.put(tmp_path, "config.json", {"model_type": model_type})
    texts = tokenizer_folders.CHAT + [text for text in tokenizer_models.NASTY if "\0" not in text]
    compare_auto(tmp_path, texts, tokenize(tmp_path, of=texts))


def test_the_shared_tokenizer_model_equals_auto_tokenizer(shared, texts, tokenize):
    folder = shared / "models/stories15M"
    both = tokenizer_folders.CHAT + texts
    compare_auto(folder, both, tokenize(folder, of=both))


@pytest.mark.parametrize("legacy", [True, False])
def test_what_transformers_saves_of_the_shared_model_equals_the_package(legacy, shared, texts, tokenize, tmp_path):
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers.AutoTokenizer.from_pretrained(shared / "models/stories15M", legacy=legacy).save_pretrained(tmp_path)
    scheme = json.loads((tmp_path / "tokenizer.json").read_text())["pre_tokenizer"]["prepend_scheme"]
    assert scheme == ("always" if legacy else "first")
    compare_json(texts, tokenize(tmp_path), tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json")))
