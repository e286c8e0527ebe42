"""What is written of a tokenizer is what AutoTokenizer makes of the source: the vocabulary of a GGUF file with its types of tokens,
special ids and templates, and the files beside a model whose type is not the source's."""

import warnings

import gguf
import pytest

import serving
import tokenizer_folders as folders
import tokenizer_models
from architectures import Variant, family

KINDS = [folders.llama_added_tokens_json, folders.llama_added_tokens_decoder, folders.llama_extra_special,
         folders.llama_special_tokens_map, folders.json_without_added_tokens, folders.json_with_gaps,
         folders.json_template_against_flags, folders.llama_class_over_json, folders.llama_named_class_of_byte_level,
         folders.llama_with_gpt2_files, folders.llama3_json]
CONTROL, USER_DEFINED, UNUSED = 3, 4, 5
IDS = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding"}


def auto_tokenizer(folder):
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def convert(qcqa, built, tmp_path):
    """Writes a tokenizer's files into a model's folder and gives the folder and the fields of its GGUF file."""

    def run(kind):
        source = serving.without_tokenizer(built(Variant(family("llama"), extra=(("vocab_size", 512),))), tmp_path / "in")
        kind(source)
        serving.convert(qcqa, source, tmp_path / "out", "uniform", "--format", "gguf")
        fields = gguf.GGUFReader(tmp_path / "out/model.gguf").fields
        return source, {key: field.contents() for key, field in fields.items() if key.startswith("tokenizer.")}

    return run


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_vocabulary_is_that_of_auto_tokenizer(kind, convert):
    source, fields = convert(kind)
    tokenizer = auto_tokenizer(source)
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    assert len(tokens) == len(types) == 512
    names, added = {i: token for token, i in tokenizer.get_vocab().items()}, tokenizer.added_tokens_decoder
    for i, (token, kind_of) in enumerate(zip(tokens, types, strict=True)):
        if i not in names:
            assert (token, kind_of) == (f"[PAD{i}]", UNUSED)
        elif i in added and kind_of != 2:  # 2: unknown, a piece of its own
            assert kind_of == CONTROL if added[i].special else kind_of in (CONTROL, USER_DEFINED), (i, token)
            assert token.replace("\u2581", " ") == names[i].replace("\u2581", " ")
        else:
            assert token == names[i]
    for name, key in IDS.items():
        if getattr(tokenizer, name) is not None:
            assert fields.get(f"tokenizer.ggml.{key}_token_id") == getattr(tokenizer, f"{name}_id"), name
    framed = tokenizer("a")["input_ids"]
    assert fields["tokenizer.ggml.add_bos_token"] == (framed[0] == tokenizer.bos_token_id)
    assert fields["tokenizer.ggml.add_eos_token"] == (framed[-1] == tokenizer.eos_token_id)


def test_special_ids_are_those_of_the_gguf_package(convert):
    source, fields = convert(folders.llama3_json)
    special = gguf.SpecialVocab(source, n_vocab=512)
    names = {"unk": "unknown", "sep": "seperator", "pad": "padding"}
    for key, number in special.special_token_ids.items():
        assert fields[f"tokenizer.ggml.{names.get(key, key)}_token_id"] == number, key
    for key, value in special.add_special_token.items():
        assert fields[f"tokenizer.ggml.add_{key}_token"] == value
    assert fields["tokenizer.chat_template"] == special.chat_template


@pytest.mark.parametrize("kind,name,plan,options", [
    (folders.llama_legacy, "llama", "unequal", ()),  # written as mistral, which takes any head count
    (folders.llama_added_tokens_decoder, "llama", "unequal", ()),
    (folders.qwen2_class_over_json, "qwen2", "per-layer", ("--layout", "remote-code")),
    (folders.gpt_neox_files, "starcoder2", "per-layer", ("--layout", "remote-code"))],
    ids=lambda value: getattr(value, "__name__", None))
def test_another_model_type_reads_the_same_ids(kind, name, plan, options, qcqa, built, tmp_path):
    extra = (("vocab_size", 512), ("attention_bias", False)) if name == "llama" else (("vocab_size", 512),)
    source = serving.without_tokenizer(built(Variant(family(name), extra=extra)), tmp_path / "in")
    kind(source)
    serving.convert(qcqa, source, tmp_path / "out", plan, *options)
    before, after = auto_tokenizer(source), auto_tokenizer(tmp_path / "out")
    for text in folders.CHAT + tokenizer_models.NASTY:
        assert after(text)["input_ids"] == before(text)["input_ids"], text
    assert after.eos_token_id == before.eos_token_id
