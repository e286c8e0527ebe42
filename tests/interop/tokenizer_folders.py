"""Folders whose tokenizer is spread over several files, as they are found in the wild: one function per kind."""

import io
import json

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

import tokenizer_models

CORPUS = ["Once upon a time, there was a little girl named Lily. She saw 123 birds and 45 cats!",
          "Don't you think it's 3.14 times better? The quick brown fox jumps over the lazy dog.",
          "def f(x):\n    return x ** 2\n", "  two  spaces   three    four ", "word\n\nword", "na\u00efve fa\u00e7ade \u4f60\u597d"] * 20

CHAT = ["<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nOnce upon a time", "a</s><s>b</s> <s> c<unk>d",
        "<|endoftext|>word <|endoftext|> <mask>  <tool> x<tool>y", "  two  spaces   three    four ", "\u2581 a \u2581\u2581b", "", " ",
        "3.14 it's\n\n\tna\u00efve \u4f60\u597d \U0001f600", "<start_of_turn>user\nhi<end_of_turn>", "<pad><bos>x<eos>"]


def entry(content, special=True, **flags):
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": special,
            **flags}


def put(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        (folder / name).write_bytes(content)
    else:
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def byte_level(special=("<|endoftext|>", "<|bos|>"), split=None, vocab=320, prefix=False):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = split or pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=vocab, special_tokens=list(special), show_progress=False,
                                                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def pieces(**options):
    out = io.BytesIO()
    lines = [line for text in CORPUS for line in text.split("\n") if line.strip()]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=out, minloglevel=2, num_threads=1, hard_vocab_limit=False, vocab_size=380,
        **{"model_type": "bpe", "byte_fallback": True, "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
           "character_coverage": 0.98, **options})
    return out.getvalue()


LLAMA = dict(tokenizer_class="LlamaTokenizer", bos_token="<s>", eos_token="</s>", unk_token="<unk>", legacy=False, add_bos_token=True)


def piece_count(model):
    return sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size()


def vocab_and_merges(folder, tokenizer, **config):
    model = json.loads(tokenizer.to_str())["model"]
    put(folder, "vocab.json", model["vocab"])
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    put(folder, "merges.txt", "#version: 0.2\n" + "\n".join(merges) + "\n")
    if config:
        put(folder, "tokenizer_config.json", config)


def with_template(tokenizer, single):
    tokens = [word for word in single.split() if not word.startswith("$")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(token, tokenizer.token_to_id(token)) for token in dict.fromkeys(tokens)])
    return tokenizer


# Each writes the tokenizer's files into a folder and returns the model's type.
def llama_added_tokens_json(folder):
    model = pieces()
    put(folder, "tokenizer.model", model)
    put(folder, "tokenizer_config.json", LLAMA)
    put(folder, "added_tokens.json", {"<|im_start|>": piece_count(model), "<|im_end|>": piece_count(model) + 1})
    return "llama"


def llama_added_tokens_decoder(folder):
    model = pieces()
    count = piece_count(model)
    put(folder, "tokenizer.model", model)
    put(folder, "tokenizer_config.json", {**LLAMA, "added_tokens_decoder": {
        "0": entry("<unk>"), "1": entry("<s>"), "2": entry("</s>"), str(count): entry("<|im_start|>"),
        str(count + 1): entry("<|im_end|>"), str(count + 9): entry("<tool>", special=False, lstrip=True)}})
    return "llama"


def llama_legacy(folder):
    put(folder, "tokenizer.model", pieces())
    put(folder, "tokenizer_config.json", {**LLAMA, "legacy": True, "add_eos_token": True})
    return "llama"


def llama_without_configuration(folder):
    put(folder, "tokenizer.model", pieces())
    return "llama"


def llama_user_defined(folder):
    put(folder, "tokenizer.model", pieces(user_defined_symbols=["<tool>", "<mask>", "  "]))
    put(folder, "tokenizer_config.json", LLAMA)
    return "llama"


def llama_extra_special(folder):
    put(folder, "tokenizer.model", pieces(control_symbols=["<tool>"]))
    put(folder, "tokenizer_config.json", {**LLAMA, "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return "llama"


def llama_special_tokens_map(folder):
    model = pieces()
    put(folder, "tokenizer.model", model)
    put(folder, "tokenizer_config.json", dict(tokenizer_class="LlamaTokenizer", add_bos_token=True))
    put(folder, "special_tokens_map.json", {"eos_token": entry("<|im_end|>"), "bos_token": "<s>", "pad_token": "<pad>",
                                            "additional_special_tokens": ["<|im_start|>"]})
    put(folder, "added_tokens.json", {"<|im_end|>": piece_count(model), "<tool>": piece_count(model) + 1})
    return "llama"


def mistral_pieces(folder):
    put(folder, "tokenizer.model", pieces())
    put(folder, "tokenizer_config.json", {**LLAMA, "legacy": True})
    return "mistral"


def mistral_user_defined(folder):
    model = pieces(user_defined_symbols=["<tool>", "<mask>", "  "], add_dummy_prefix=False)
    put(folder, "tokenizer.model", model)
    put(folder, "tokenizer_config.json", dict(tokenizer_class="LlamaTokenizer", add_bos_token=True, add_eos_token=True,
                                              added_tokens_decoder={"3": entry("<|im_start|>", special=False)}))
    return "mistral"


def mistral_unigram(folder):
    put(folder, "tokenizer.model", pieces(model_type="unigram", byte_fallback=False, normalization_rule_name="nmt_nfkc",
                                          remove_extra_whitespaces=True))
    return "mistral"


def gemma_pieces(folder):
    put(folder, "tokenizer.model", pieces(pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", eos_piece="<eos>",
                                          bos_piece="<bos>", add_dummy_prefix=False,
                                          user_defined_symbols=["<start_of_turn>", "<end_of_turn>", "\n", "  "]))
    put(folder, "tokenizer_config.json", dict(tokenizer_class="GemmaTokenizer", add_bos_token=True))
    return "gemma"


def json_without_added_tokens(folder):
    put(folder, "tokenizer.json", byte_level().to_str())
    put(folder, "tokenizer_config.json", dict(
        tokenizer_class="PreTrainedTokenizerFast", eos_token="<|endoftext|>",
        added_tokens_decoder={"320": entry("<|im_start|>"), "321": entry("<|im_end|>"), "400": entry("<tool>", special=False)}))
    return "llama"


def json_with_gaps(folder):
    document = json.loads(byte_level().to_str())
    document["added_tokens"] += [{"id": 350, **entry("<|im_start|>")}, {"id": 340, **entry("<|im_end|>")}]
    put(folder, "tokenizer.json", document)
    put(folder, "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", pad_token="<pad>"))
    return "llama"


def json_template_against_flags(folder):
    tokenizer = with_template(byte_level(), "<|bos|> $A <|endoftext|>")
    put(folder, "tokenizer.json", tokenizer.to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|bos|>", eos_token="<|endoftext|>",
                                              add_bos_token=False, add_eos_token=False))
    return "llama"


def json_flags_without_template(folder):
    put(folder, "tokenizer.json", byte_level().to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", bos_token="<|bos|>", eos_token="<|endoftext|>",
                                              add_bos_token=True, add_eos_token=True))
    return "llama"


def llama_class_over_json(folder):
    from transformers import LlamaTokenizer
    source = folder / "source"
    put(source, "tokenizer.model", pieces())
    put(source, "tokenizer_config.json", LLAMA)
    tokenizer = LlamaTokenizer.from_pretrained(source)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.save_pretrained(folder)
    document = json.loads((folder / "tokenizer.json").read_text())
    document["normalizer"] = {"type": "Lowercase"}  # the class takes no notice of it
    put(folder, "tokenizer.json", document)
    return "llama"


def llama_named_class_of_byte_level(folder):
    put(folder, "tokenizer.json", with_template(byte_level(), "<|bos|> $A").to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="LlamaTokenizerFast", bos_token="<|bos|>", eos_token="<|endoftext|>"))
    return "llama"


def qwen2_class_over_json(folder):
    put(folder, "tokenizer.json", byte_level(split=pre_tokenizers.ByteLevel(add_prefix_space=True)).to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", eos_token="<|im_end|>", bos_token=None,
                                              additional_special_tokens=["<|im_start|>", "<|im_end|>"], add_bos_token=False))
    return "qwen2"


def qwen2_lstrip(folder):
    put(folder, "tokenizer.json", byte_level().to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="Qwen2Tokenizer", eos_token="<|endoftext|>", added_tokens_decoder={
        "0": entry("<|endoftext|>", lstrip=True, rstrip=True), "320": entry("<mask>", lstrip=True, rstrip=True),
        "321": entry("<tool>", special=False, single_word=True)}))
    return "qwen2"


def qwen3_5_json(folder):
    put(folder, "tokenizer.json", byte_level().to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="Qwen2Tokenizer", eos_token="<|im_end|>", added_tokens_decoder={
        "0": entry("<|endoftext|>", lstrip=True, rstrip=True), "321": entry("<tool>", special=False, single_word=True)}))
    return "qwen3_5_moe_text"  # its class counts, not the one that is named


def llava_with_steps_of_its_own(folder):
    put(folder, "tokenizer.json", byte_level().to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="LlamaTokenizer"))
    return "llava"


def qwen3_declared_otherwise(folder):
    put(folder, "tokenizer.json", with_template(byte_level(), "<|bos|> $A").to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", eos_token="<|im_end|>"))
    return "qwen3"


def gpt2_files(folder):
    vocab_and_merges(folder, byte_level())
    return "starcoder2"


def phi_files(folder):
    vocab_and_merges(folder, byte_level(), tokenizer_class="CodeGenTokenizer", add_prefix_space=True, pad_token="<pad>",
                     add_bos_token=True)
    put(folder, "added_tokens.json", {"<|im_start|>": 320, "<|im_end|>": 321})
    return "phi"


def qwen2_files(folder):
    vocab_and_merges(folder, byte_level(), tokenizer_class="Qwen2Tokenizer", eos_token="<|im_end|>", pad_token="<|endoftext|>",
                     added_tokens_decoder={"320": entry("<|endoftext|>"), "321": entry("<|im_start|>"), "322": entry("<|im_end|>")})
    return "qwen2"


def llama_with_gpt2_files(folder):
    vocab_and_merges(folder, byte_level(), tokenizer_class="GPT2Tokenizer", bos_token="<|bos|>", eos_token="<|endoftext|>",
                     add_bos_token=True)
    return "llama"


def roberta_files(folder):
    vocab_and_merges(folder, byte_level(special=("<s>", "<pad>", "</s>", "<unk>", "<mask>")), tokenizer_class="RobertaTokenizer",
                     mask_token={"__type": "AddedToken", **entry("<mask>", lstrip=True)})
    return "llama"


def gpt_neox_json(folder):
    put(folder, "tokenizer.json", with_template(byte_level(), "<|bos|> $A <|endoftext|>").to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="GPTNeoXTokenizer", add_bos_token=True))
    return "gpt_neox"


def gpt_neox_files(folder):
    vocab_and_merges(folder, byte_level(), tokenizer_class="GPTNeoXTokenizer", bos_token="<|bos|>", add_bos_token=True,
                     add_eos_token=True)
    return "gpt_neox"


def code_llama(folder):
    put(folder, "tokenizer.model", pieces())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="CodeLlamaTokenizer"))
    return "llama"


def cohere_json(folder):
    put(folder, "tokenizer.json", byte_level(special=("<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>")).to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="CohereTokenizerFast"))
    return "llama"


def split_special(folder):
    put(folder, "tokenizer.json", byte_level().to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", split_special_tokens=True,
                                              eos_token="<|endoftext|>"))
    return "llama"


def model_specific_names(folder):
    put(folder, "tokenizer.json", byte_level().to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", image_token="<tool>",
                                              extra_special_tokens={"turn": "<|im_end|>"}))
    return "llama"


def unigram_json(folder):
    model = sentencepiece.SentencePieceProcessor(model_proto=pieces(model_type="unigram", byte_fallback=False))
    charsmap = tokenizer_models.character_map(pieces(model_type="unigram", byte_fallback=False, normalization_rule_name="nmt_nfkc"))
    tokenizer = Tokenizer(models.Unigram([(model.id_to_piece(i), model.get_score(i)) for i in range(len(model))], unk_id=0))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap), normalizers.Strip(left=False, right=True),
                                                 normalizers.Replace(Regex(" {2,}"), "\u2581")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    put(folder, "tokenizer.json", with_template(tokenizer, "$A </s>").to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", eos_token="</s>"))
    return "llama"


def word_piece_json(folder):
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", "[CLS]", "[SEP]"],
                                                                    show_progress=False))
    put(folder, "tokenizer.json", with_template(tokenizer, "[CLS] $A [SEP]").to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="PreTrainedTokenizerFast", cls_token="[CLS]", sep_token="[SEP]"))
    return "llama"


def class_of_the_model_configuration(folder):
    put(folder, "tokenizer.json", byte_level(prefix=True).to_str())
    put(folder, "config.json", dict(model_type="llama", tokenizer_class="GPT2Tokenizer"))
    put(folder, "tokenizer_config.json", dict(add_prefix_space=False))
    return "llama"


def llama_without_prefix(folder):
    put(folder, "tokenizer.model", pieces())
    put(folder, "tokenizer_config.json", {**LLAMA, "add_prefix_space": False, "unk_token": entry("<unk>") | {"__type": "AddedToken"}})
    return "llama"


def gpt2_class_over_json(folder):
    put(folder, "tokenizer.json", with_template(byte_level(), "<|bos|> $A").to_str())
    put(folder, "tokenizer_config.json", dict(tokenizer_class="GPT2TokenizerFast", add_prefix_space=True, bos_token="<|bos|>"))
    return "starcoder2"


def llama3_json(folder):
    split = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(tokenizer_models.LLAMA3), "isolated"),
                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = byte_level(special=("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"), split=split)
    document = json.loads(tokenizer.to_str())
    document["post_processor"] = {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        json.loads(with_template(tokenizer, "<|begin_of_text|> $A").to_str())["post_processor"]]}
    put(folder, "tokenizer.json", document)
    put(folder, "tokenizer_config.json", dict(
        tokenizer_class="PreTrainedTokenizerFast", bos_token="<|begin_of_text|>", eos_token="<|eot_id|>", chat_template="CHAT",
        added_tokens_decoder={str(i): entry(t) for i, t in enumerate(("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"))}))
    return "llama"


def phi3_json(folder):
    llama_class_over_json(folder)
    document = json.loads((folder / "tokenizer.json").read_text())
    document["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {
        "type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    document["pre_tokenizer"] = None
    document["added_tokens"].append({"id": len(document["model"]["vocab"]) + 2, **entry("<|end|>", rstrip=True)})
    put(folder, "tokenizer.json", document)
    return "phi3"


def word_level_json(folder):
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.train_from_iterator(CORPUS, trainers.WordLevelTrainer(vocab_size=200, special_tokens=["<unk>"], show_progress=False))
    put(folder, "tokenizer.json", tokenizer.to_str())
    return "llama"


def suffix_json(folder):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False, handle_chinese_chars=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.BPEDecoder()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], end_of_word_suffix="</w>",
                                                              show_progress=False))
    put(folder, "tokenizer.json", tokenizer.to_str())
    return "llama"


def unigram_fallback_json(folder):
    model = sentencepiece.SentencePieceProcessor(model_proto=pieces(model_type="unigram"))
    tokenizer = Tokenizer(models.Unigram([(model.id_to_piece(i), model.get_score(i)) for i in range(len(model))], unk_id=0,
                                         byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    put(folder, "tokenizer.json", tokenizer.to_str())
    return "llama"


KINDS = [llama_added_tokens_json, llama_added_tokens_decoder, llama_legacy, llama_without_configuration, llama_user_defined,
         llama_extra_special, llama_special_tokens_map, mistral_pieces, mistral_user_defined, mistral_unigram, gemma_pieces,
         json_without_added_tokens, json_with_gaps, json_template_against_flags, json_flags_without_template, llama_class_over_json,
         llama_named_class_of_byte_level, qwen2_class_over_json, qwen2_lstrip, qwen3_5_json, qwen3_declared_otherwise, gpt2_files,
         phi_files, llava_with_steps_of_its_own,
         qwen2_files, llama_with_gpt2_files, roberta_files, gpt_neox_json, gpt_neox_files, code_llama, cohere_json, split_special,
         model_specific_names, unigram_json, word_piece_json, class_of_the_model_configuration,
         llama_without_prefix, gpt2_class_over_json, llama3_json, phi3_json, word_level_json, suffix_json, unigram_fallback_json]
