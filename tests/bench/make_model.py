#!/usr/bin/env python3
"""Writes a random bf16 checkpoint of Llama-2-7B's shape, of 1.1B parameters or small: what the speed and memory of qcqa are
measured on.

    make_model.py FOLDER                               the whole model, 13.5 GB in three shards
    make_model.py FOLDER --attention-only              4.3 GB: no MLP, embeddings of 32 tokens
    make_model.py FOLDER --layers 4 --attention-only   0.5 GB
    make_model.py FOLDER --shape 1b                    2.5 GB: 22 layers of 32 heads of 64, hidden size 2048
    make_model.py FOLDER --shape small                 0.3 GB: 8 layers of 32 heads of 32, hidden size 1024

Values are normal with standard deviation 0.02, the same for every run and machine. Needs numpy only.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib

import numpy

HEADS, VOCABULARY = 32, 32000
SHAPES = {"7b": (32, 128, 11008), "1b": (22, 64, 5632), "small": (8, 32, 2816)}  # layers, head_dim, intermediate size
PIECE = 1 << 22  # values made at a time: small enough for the cache, large enough for the interpreter


def shapes(layers, hidden, intermediate, vocabulary):
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
        for name in ("k_proj", "o_proj", "q_proj", "v_proj"):
            yield f"{prefix}self_attn.{name}.weight", (hidden, hidden)
    yield "model.norm.weight", (hidden,)
    yield "lm_head.weight", (vocabulary, hidden)


def bytes_of(shape):
    return 2 * int(numpy.prod(shape))


def split(tensors, limit):
    """Shards of at most `limit` bytes, in order."""
    shard, size, shards = [], 0, []
    for name, shape in tensors:
        if shard and size + bytes_of(shape) > limit:
            shards.append(shard)
            shard, size = [], 0
        shard.append((name, shape))
        size += bytes_of(shape)
    return [*shards, shard]


def values(seed, count):
    """bfloat16 bits. Cut off instead of rounded: to random numbers that makes no difference."""
    generator = numpy.random.Generator(numpy.random.SFC64(seed))
    for start in range(0, count, PIECE):
        piece = generator.standard_normal(min(PIECE, count - start), dtype=numpy.float32)
        piece *= 0.02
        yield numpy.ascontiguousarray(piece.view(numpy.uint16)[1::2])


def write_shard(path, shard, first_seed):
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shard:
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + bytes_of(shape)]}
        offset += bytes_of(shape)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for number, (_, shape) in enumerate(shard):
            if len(shape) == 1:  # norms
                stream.write(numpy.full(shape, 0x3F80, numpy.uint16).tobytes())
                continue
            for piece in values([first_seed, number], int(numpy.prod(shape))):
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

    vocabulary = 32 if options.attention_only else VOCABULARY
    layers, head_dim, intermediate = SHAPES[options.shape]
    layers, hidden = options.layers or layers, HEADS * head_dim
    tensors = list(shapes(layers, hidden, 0 if options.attention_only else intermediate, vocabulary))
    shards = split(tensors, options.max_shard_size)
    options.folder.mkdir(parents=True)
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": HEADS, "num_key_value_heads": HEADS,
        "intermediate_size": intermediate, "vocab_size": vocabulary, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "max_position_embeddings": 4096, "bos_token_id": 1, "eos_token_id": 2,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }
    (options.folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")

    count = len(shards)
    names = ["model.safetensors"] if count == 1 else [
        f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        sizes = list(pool.map(lambda i: write_shard(options.folder / names[i], shards[i], i), range(count)))
    if count > 1:
        weight_map = {name: file for file, shard in zip(names, shards) for name, _ in shard}
        index = {"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map}
        (options.folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    print(f"{options.folder}: {sum(sizes) / 1e9:.1f} GB in {count} file(s)")


if __name__ == "__main__":
    main()
