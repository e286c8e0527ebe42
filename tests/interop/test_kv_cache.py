"""`qcqa evaluate --kv-cache` computes what transformers computes with a KV cache that rounds what it keeps, and what
llama.cpp computes with its own."""

import numpy
import pytest
import torch
import transformers

import reference
import serving
from architectures import Variant, family
from test_evaluate import dumped_logits

TOLERANCE = 1e-3  # float32 logits
CELLS = 2048  # of the KV cache, which llama.cpp reports in MiB with two digits

# A head dimension that blocks of 32 divide, with rotary embeddings; qwen3 has norms of keys, gpt2-like families none.
HEADS = ("head_dim", 32)
MODELS = {
    "llama": Variant(family("llama"), extra=(("attention_bias", False), HEADS)),
    "qwen3-gqa": Variant(family("qwen3"), kv_heads=2, extra=(HEADS,)),
}


def through(dtype):
    return lambda x: x.to(dtype).to(x.dtype)


def in_blocks(decode):
    """decode(blocks of 32 along the head dimension, float32) -> what they are rounded to"""

    def rounded(x):
        blocks = x.numpy().reshape(-1, 32)
        return torch.from_numpy(decode(blocks).astype(numpy.float32)).reshape(x.shape)

    return rounded


def inverse(scale):
    return numpy.divide(1, scale, out=numpy.zeros_like(scale), where=scale != 0, dtype=numpy.float32)


def q8_0(blocks):
    scale = numpy.abs(blocks).max(1, keepdims=True) / numpy.float32(127)
    codes = blocks * inverse(scale)
    codes = numpy.copysign(numpy.floor(numpy.abs(codes.astype(numpy.float64)) + 0.5), codes)
    return codes * scale.astype(numpy.float16).astype(numpy.float32)


def q4_0(blocks):
    largest = numpy.take_along_axis(blocks, numpy.abs(blocks).argmax(1)[:, None], 1)
    scale = largest / numpy.float32(-8)
    codes = numpy.minimum(15, (blocks * inverse(scale) + numpy.float32(8.5)).astype(numpy.int8))
    return (codes - 8) * scale.astype(numpy.float16).astype(numpy.float32)


ROUNDED = {
    "bf16": through(torch.bfloat16),
    "f16": through(torch.float16),
    "fp8_e4m3": lambda x: through(torch.float8_e4m3fn)(x.clamp(-448, 448)),
    "q8_0": in_blocks(q8_0),
    "q4_0": in_blocks(q4_0),
}


class RoundingCache(transformers.DynamicCache):
    """Gives attention what it kept, not what it was handed."""

    def __init__(self, rounded):
        super().__init__()
        self.rounded = rounded

    def update(self, keys, values, *rest, **more):
        return super().update(self.rounded(keys), self.rounded(values), *rest, **more)


@torch.no_grad()
def logits_with_cache(model, rows, rounded):
    return torch.cat([model(torch.tensor([row]), past_key_values=RoundingCache(rounded), use_cache=True).logits[0]
                      for row in rows])


@pytest.mark.parametrize("kind", ROUNDED)
@pytest.mark.parametrize("name", MODELS)
def test_logits_equal_transformers_with_such_a_cache(qcqa, built, tmp_path, name, kind):
    source = built(MODELS[name])
    rows = serving.documents()
    result, found = dumped_logits(qcqa, source, rows, tmp_path, "--kv-cache", kind)
    expected = logits_with_cache(reference.load(source), rows, ROUNDED[kind])
    _, plain = dumped_logits(qcqa, source, rows, tmp_path / "plain")
    # A value beside the middle of two codes may be rounded to either, as float32 is computed in another order, and all
    # tokens behind it feel that: how many do depends on the processor.
    apart = (found - expected).abs().amax(-1)
    effect = float((plain - expected).abs().max())
    assert float(apart.median()) <= min(TOLERANCE, effect / 10)
    assert float(apart.quantile(0.9)) <= effect / 10
    assert float(apart.max()) <= effect / 2
    assert result["perplexity"] == pytest.approx(serving.perplexity(expected.numpy(), rows), rel=1e-4)
    assert result["kv_cache"]["type"] == kind


@pytest.mark.parametrize("kind", ["q8_0", "q4_0"])
def test_perplexity_equals_that_of_llama_cpp(qcqa, built, runtime, tmp_path, kind):
    """llama.cpp rounds queries as well before it multiplies them with keys in blocks, so this is no more than close."""
    source = serving.without_tokenizer(built(MODELS["llama"]), tmp_path / "in")
    serving.convert(qcqa, source, tmp_path / "out", "uniform", "--format", "gguf")
    serving.convert(qcqa, source, tmp_path / "gqa", "uniform", "--layout", "gqa")
    rows = serving.documents()
    _, plain = dumped_logits(qcqa, tmp_path / "gqa", rows, tmp_path / "plain")
    result, found = dumped_logits(qcqa, tmp_path / "gqa", rows, tmp_path / "rounded", "--kv-cache", kind)
    theirs = runtime("llama_cpp").run(tmp_path / "run", model=str(tmp_path / "out/model.gguf"), rows=rows, cache=kind,
                                     context=CELLS)
    ours, without = (numpy.abs(theirs["logits"] - logits.numpy()).mean() for logits in (found, plain))
    assert ours <= without * {"q8_0": 0.75, "q4_0": 0.2}[kind]
    assert serving.perplexity(theirs["logits"], rows) == pytest.approx(result["perplexity"], rel=0.003)
    cells = int(theirs["cells"])
    assert float(theirs["cache_mib"][0]) == pytest.approx(result["kv_cache"]["bytes_per_token"] * cells / 2**20, abs=0.011)
