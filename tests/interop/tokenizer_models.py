"""Model folders with tokenizers of every kind that the text room reads, made on the spot, and texts to try them on."""

import io
import json
import pathlib

import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
DEEPSEEK = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"]
O200K = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

NASTY = [
    "", " ", "  ", "\n", "\t\t\n \r\n", "a", " a", "a ", "  two  spaces   three    four ", " " * 300, "x" + " " * 77 + "y",
    "tab\tnewline\nreturn\r\nvertical\vform\f", "NUL \x00 inside\x00\x00", "\x01\x02\x1b[0m\x7f\x80\x85\x9f",
    "e\u0301 vs \u00e9, a\u0323\u0302 vs \u1ead, o\u0302\u0323", "\u0301starts with a mark", "Z\u0351\u036b\u0343\u036aA\u0302LGO\u0348",
    "\U0001F468\u200d\U0001F469\u200d\U0001F467\u200d\U0001F466 \U0001F3F3\ufe0f\u200d\U0001F308 \U0001F44B\U0001F3FD",
    "\U0001F1E9\U0001F1EA\U0001F1EB\U0001F1F7 \u2764\ufe0f \u00a9\ufe0f", "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
    "\u0645\u0631\u062d\u0628\u0627 \u0661\u0662\u0663 \u06f4\u06f5", "\u200f\u202bRTL\u202c \u2066isolate\u2069",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u6f22\u5b57\u3068\u304b\u306a\u30ab\u30ca\uff76\uff85", "\ud55c\uad6d\uc5b4 \u1112\u1161\u11ab",
    "\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 \u0939\u093f\u0928\u094d\u0926\u0940 \u0ba4\u0bae\u0bbf\u0bb4\u0bcd",
    "\ufb01ne \ufb03 \u00bd \u2460 \u32fe \uff21\uff22\uff23 \u2126 \u212b \u017f", "\u0130stanbul \u00df \u1e9e \u03a3\u03af\u03c3\u03c5\u03c6\u03bf\u03c2",
    "don't DON'T I'LL you're \u2019s we'\u017f it'S 'tis", "1 12 123 1234 12345 3.14 1,000,000 \u00b2 \u2167 \u0663",
    "\u00a0nbsp\u2003em\u2009thin\u3000ideographic\u1680ogham\u180emvs\u200bzwsp\u2028ls\u2029ps\ufeffbom",
    "\u2581 already \u2581\u2581escaped\u2581", "<s> </s> <unk> <0x0A> <0x41> [INST] <|endoftext|>",
    "a<|endoftext|>b<|endoftext|> <|endoftext|>", "before  <mask>  after <mask>", "word WORD wordy word. aword",
    "\ue000\uf8ff private, \ufffd \ufffe \uffff \U0010ffff", "\u0378 unassigned \U000E0041 tag", "\U0001D400\U0001D4D0 math \U00020000",
    "!!!???...---___ #@$%^&*()[]{}\\|;:'\",<>/?`~", "http://example.org/a?b=c&d=%20#e  foo_bar-baz.qux",
    "def f(x):\n    return x ** 2  # comment\n\n\n\tpass", "\u00c5ngstr\u00f6m na\u00efve fa\u00e7ade \u0141\u00f3d\u017a", "a" * 500, "ab" * 200,
    "\u24b6 \U0001F130 \u0345 \u203f \u00aa \u00b5", "q\u0307\u0323 \u1e0b\u0323 \u0344 \u2adc \u0958", "\uac00\u11a8 \u1100\u1161\u11a8",
]


def shared_texts(shared):
    folder = shared / "data"
    lines = (folder / "tinystories_dev.jsonl").read_text(encoding="utf-8").split("\n")  # splitlines() cuts at U+2028 too
    return [json.loads(line)["text"] for line in lines if line] + [
        (folder / "tinystories_dev.txt").read_text(encoding="utf-8")]


def mixed(shared):
    """Training texts: enough English for merges, enough of the rest for non-ASCII merges."""
    return shared_texts(shared)[:120] + [text for text in NASTY if text.strip()] * 5


def write(folder, tokenizer):
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def byte_level(texts, pre_tokenizer, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=1500, special_tokens=["<|endoftext|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return with_added(tokenizer)


def with_added(tokenizer):
    tokenizer.add_tokens([AddedToken("word", single_word=True), AddedToken("\n\n\n"), AddedToken("ABC", normalized=True)])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False, special=True)])
    return tokenizer


def fallback(texts, pre_tokenizer, normalizer, decoder, **options):
    """BPE with byte_fallback, as SentencePiece models become when they are converted."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    if pre_tokenizer:
        tokenizer.pre_tokenizer = pre_tokenizer
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoder
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer.train_from_iterator([text.replace("\n", " ") for text in texts], trainers.BpeTrainer(
        vocab_size=1200, limit_alphabet=90, special_tokens=["<unk>", "<s>", "</s>"] + byte_tokens, show_progress=False))
    # The trainer makes special tokens of the byte tokens; a converted model has them in the vocabulary only.
    document = json.loads(tokenizer.to_str())
    document["added_tokens"] = [token for token in document["added_tokens"] if not token["content"].startswith("<0x")]
    document["model"].update(options)
    return Tokenizer.from_str(json.dumps(document))


def json_models(texts):
    """name -> tokenizer"""
    level, split, sequence = pre_tokenizers.ByteLevel, pre_tokenizers.Split, pre_tokenizers.Sequence
    metaspace_decoder = decoders.Metaspace()
    llama_decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(),
                                       decoders.Strip(" ", 1, 0)])
    mapped = level(add_prefix_space=False, use_regex=False)
    result = {
        "gpt2": byte_level(texts, level(add_prefix_space=False)),
        "gpt2_prefix_nfc": byte_level(texts, level(add_prefix_space=True), normalizers.NFC()),
        "llama3": byte_level(texts, sequence([split(Regex(LLAMA3), "isolated"), mapped])),
        "qwen2": byte_level(texts, sequence([split(Regex(QWEN2), "isolated"), mapped]), normalizers.NFC()),
        "deepseek": byte_level(texts, sequence([split(Regex(pattern), "isolated") for pattern in DEEPSEEK] + [
            pre_tokenizers.Digits(individual_digits=True), mapped])),
        "falcon": byte_level(texts, sequence([pre_tokenizers.Punctuation("contiguous"), level(add_prefix_space=False),
                                              pre_tokenizers.Digits(), split(Regex("[0-9][0-9][0-9]"), "isolated")])),
        "o200k_nfkc": byte_level(texts, sequence([split(Regex(O200K), "removed", invert=True), mapped]), normalizers.NFKC()),
        "digits": byte_level(texts, sequence([pre_tokenizers.Digits(individual_digits=True), level(add_prefix_space=False)])),
        "starcoder": byte_level(texts, sequence([pre_tokenizers.Digits(), split("\n", "contiguous"), mapped])),
        "accents": byte_level(texts, sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("contiguous"), mapped]),
                              normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()])),
        "whitespace": byte_level(texts, sequence([pre_tokenizers.Whitespace(), mapped]),
                                 normalizers.Sequence([normalizers.NFKD(), normalizers.Replace(Regex(r"\s+"), " ")])),
        "llama2": fallback(texts, None, normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]),
                           llama_decoder),
        "llama2_added": with_added(fallback(texts, None, normalizers.Sequence([
            normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]), llama_decoder)),
        "gemma": with_added(fallback(texts, split(" ", "merged_with_previous"), normalizers.Replace(" ", "\u2581"),
                                     decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(),
                                                        decoders.Fuse()]))),
        "metaspace_always": fallback(texts, pre_tokenizers.Metaspace(), None, metaspace_decoder),
        "metaspace_first": fallback(texts, pre_tokenizers.Metaspace(prepend_scheme="first", split=False), normalizers.NFC(),
                                    llama_decoder, ignore_merges=True),
        "no_fallback": fallback(texts, pre_tokenizers.Metaspace(prepend_scheme="never"), None, metaspace_decoder,
                                byte_fallback=False),
        "no_fallback_not_fused": fallback(texts, pre_tokenizers.Metaspace(), None, metaspace_decoder, byte_fallback=False,
                                          fuse_unk=False),
        "no_unknown": fallback(texts, pre_tokenizers.Metaspace(), None, metaspace_decoder, byte_fallback=False, unk_token=None),
    }
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        result[f"split_{behavior}"] = byte_level(texts, sequence([split(Regex(r"\s|[aeiou]"), behavior), mapped]))
    return result


def piece_models(texts):
    """name -> bytes of a SentencePiece model"""
    common = dict(vocab_size=1200, character_coverage=0.98, minloglevel=2, max_sentence_length=100000, num_threads=1)
    variants = {
        "bpe_identity": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity",
                             remove_extra_whitespaces=False, split_digits=True),
        "bpe_nfkc": dict(model_type="bpe", normalization_rule_name="nmt_nfkc"),
        "bpe_user_defined": dict(model_type="bpe", byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=False,
                                 remove_extra_whitespaces=False, user_defined_symbols=["<mask>", "\n", "\n\n", "  ", "word"],
                                 allow_whitespace_only_pieces=True),
        "unigram_nfkc": dict(model_type="unigram", normalization_rule_name="nmt_nfkc_cf"),
        "unigram_fallback": dict(model_type="unigram", byte_fallback=True, normalization_rule_name="nfkc",
                                 user_defined_symbols=["<mask>", "once upon"]),
    }
    sentences = [line for text in texts for line in text.split("\n") if line.strip() and "\x00" not in line]
    result = {}
    for name, options in variants.items():
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_writer=model, **common, **options)
        result[name] = model.getvalue()
    return result


def character_map(model):
    """The compiled rules of normalisation inside a SentencePiece model."""
    from transformers.convert_slow_tokenizer import import_protobuf

    proto = import_protobuf().ModelProto()
    proto.ParseFromString(model)
    return proto.normalizer_spec.precompiled_charsmap
