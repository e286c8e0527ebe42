#!/usr/bin/env python3
"""Writes a random checkpoint of Llama-2-7B's shape, of 1.1B parameters, small, or of SmolLM2-135M's shape: what the
speed and memory of qcqa are measured on. The last is float32, the others are bf16.

    make_model.py FOLDER                               the whole model, 13.5 GB in three shards
    make_model.py FOLDER --attention-only              4.3 GB: no MLP, embeddings of 32 tokens
    make_model.py FOLDER --layers 4 --attention-only   0.5 GB
    make_model.py FOLDER --shape 1b                    2.5 GB: 22 layers of 32 heads of 64, hidden size 2048
    make_model.py FOLDER --shape small                 0.3 GB: 8 layers of 32 heads of 32, hidden size 1024
    make_model.py FOLDER --shape 135m                  0.5 GB: 30 layers of 9 query and 3 KV heads of 64, float32

Values are normal with standard deviation 0.02, the same for every run and machine. Needs numpy only.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib

import numpy

SHAPES = {  # layers, query heads, KV heads, head_dim, intermediate size, vocabulary, bytes of a value
    "7b": (32, 32, 32, 128, 11008, 32000, 2),
    "1b": (22, 32, 32, 64, 5632, 32000, 2),
    "small": (8, 32, 32, 32, 2816, 32000, 2),
    "135m": (30, 9, 3, 64, 1536, 49152, 4),
}
PIECE = 1 << 22  # values made at a time: small enough for the cache, large enough for the interpreter


def shapes(layers, hidden, kv_rows, intermediate, vocabulary, tied):
    """(name, shape) in the order in which the official files hold them; intermediate 0: no MLP."""
    yield "model.embed_tokens.weight", (vocabulary, hidden)
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", (hidden,)
        if intermediate:
            yield prefix + "mlp.down_proj.weight", (hidden, intermediate)
            yield prefix + "mlp.gate_proj.weight", (intermediate, hidden)
            yield prefix + "mlp.up_proj.weight", (intermediate, hidden)
        yield prefix + "post_attention_layernorm.weight", (hidden,)
        for name, rows in (("k_proj", kv_rows), ("o_proj", hidden), ("q_proj", hidden), ("v_proj", kv_rows)):
            yield f"{prefix}self_attn.{name}.weight", (rows, hidden)
    yield "model.norm.weight", (hidden,)
    if not tied:
        yield "lm_head.weight", (vocabulary, hidden)


def bytes_of(shape, size):
    return size * int(numpy.prod(shape))


def split(tensors, size_of_value, limit):
    """Shards of at most `limit` bytes, in order."""
    shard, size, shards = [], 0, []
    for name, shape in tensors:
        if shard and size + bytes_of(shape, size_of_value) > limit:
            shards.append(shard)
            shard, size = [], 0
        shard.append((name, shape))
        size += bytes_of(shape, size_of_value)
    return [*shards, shard]


def values(seed, count, size):
    """float32 or, with 2 bytes, bfloat16 bits. Cut off, not rounded: to random numbers that makes no difference."""
    generator = numpy.random.Generator(numpy.random.SFC64(seed))
    for start in range(0, count, PIECE):
        piece = generator.standard_normal(min(PIECE, count - start), dtype=numpy.float32)
        piece *= 0.02
        yield piece if size == 4 else numpy.ascontiguousarray(piece.view(numpy.uint16)[1::2])


def write_shard(path, shard, size, first_seed):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shard:
        end = offset + bytes_of(shape, size)
        header[name] = {"dtype": "F32" if size == 4 else "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for number, (_, shape) in enumerate(shard):
            if len(shape) == 1:  # norms
                ones = numpy.ones(shape, numpy.float32)
                stream.write((ones if size == 4 else ones.view(numpy.uint16)[1::2]).tobytes())
                continue
            for piece in values([first_seed, number], int(numpy.prod(shape)), size):
                stream.write(piece)
    return offset


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="7b")
    parser.add_argument("--layers", type=int, help="instead of the shape's own")
    parser.add_argument("--attention-only", action="store_true")
    parser.add_argument("--max-shard-size", type=int, default=5_000_000_000)
    options = parser.parse_args()

    layers, heads, kv_heads, head_dim, intermediate, vocabulary, size = SHAPES[options.shape]
    vocabulary = 32 if options.attention_only else vocabulary
    layers, hidden, tied = options.layers or layers, heads * head_dim, size == 4
    mlp = 0 if options.attention_only else intermediate
    tensors = list(shapes(layers, hidden, kv_heads * head_dim, mlp, vocabulary, tied))
    shards = split(tensors, size, options.max_shard_size)
    options.folder.mkdir(parents=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv_heads,
        "intermediate_size": intermediate, "vocab_size": vocabulary, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 2,
        "tie_word_embeddings": tied, "torch_dtype": "float32" if tied else "bfloat16",
    }
    (options.folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    count = len(shards)
    names = ["model.safetensors"] if count == 1 else [
        f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes = list(pool.map(lambda i: write_shard(options.folder / names[i], shards[i], size, i), range(count)))
    if count > 1:
        weight_map = {name: file for file, shard in zip(names, shards) for name, _ in shard}
        index = {"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map}
        (options.folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    print(f"{options.folder}: {sum(sizes) / 1e9:.1f} GB in {count} file(s)")


if __name__ == "__main__":
    main()
