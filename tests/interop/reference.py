"""What qcqa's output is measured against: mean pooling written again, on the tensors of the input checkpoint."""

import functools
import json
import pathlib
import shutil
import struct

import safetensors.torch
import torch
import transformers


def read_tensors(folder):
    """name -> tensor of a checkpoint folder of any of the four storages."""
    folder = pathlib.Path(folder)
    tensors = {}
    for file in sorted(folder.glob("model*.safetensors")):
        tensors.update(safetensors.torch.load_file(file))
    if not tensors:
        for file in sorted(folder.glob("pytorch_model*.bin")):
            tensors.update(torch.load(file, weights_only=True))
    assert tensors, f"no tensors in {folder}"
    return tensors


def read_headers(folder):
    """The parsed header of every safetensors file: what a loader sees before any tensor."""
    headers = {}
    for file in sorted(pathlib.Path(folder).glob("*.safetensors")):
        with open(file, "rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            headers[file.name] = json.loads(stream.read(size))
    return headers


def same_bits(a, b):
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    return torch.equal(a.contiguous().reshape(-1).view(torch.uint8), b.contiguous().reshape(-1).view(torch.uint8))


def geometry(config):
    def first(*keys):
        return next((config[key] for key in keys if config.get(key)), None)

    heads = first("num_attention_heads", "num_heads", "n_head", "n_heads")
    return {
        "layers": first("num_hidden_layers", "num_layers", "n_layer", "n_layers"),
        "query_heads": heads,
        "kv_heads": first("num_key_value_heads", "num_kv_heads") or heads,
        "head_dim": config.get("head_dim") or first("hidden_size", "n_embd", "n_embed", "d_model") // heads,
    }


def places_of_attention(config):
    """The layers that have heads."""
    types = config.get("layer_types") or ["full_attention"] * geometry(config)["layers"]
    return [place for place, kind in enumerate(types) if kind in ("full_attention", "sliding_attention")]


def attention_names(family, layer, tensors):
    """Names of the layer's tensors that hold keys or values, or that a permutation of query heads may touch."""
    prefix = family.prefix.format(layer=layer)
    stems = {
        "split": ["q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "dense", "q_norm", "k_norm"],
        "concatenated": ["qkv_proj", "o_proj", "Wqkv", "out_proj"],
        "interleaved": ["query_key_value", "dense", "c_attn", "c_proj"],
        "transposed": ["c_attn", "c_proj"],
        "parts": ["qkv_proj", "out_proj"],
    }[family.packing]
    names = [prefix + "sinks", *(prefix + stem + kind for stem in stems for kind in (".weight", ".bias"))]
    return [name for name in names if name in tensors]


def kv_slices(family, layer, tensors, shape):
    """Per tensor that holds keys or values: (name, index of its keys' rows or None, index of its values' rows or None);
    indices are (kv_heads, head_dim) row numbers."""
    prefix = family.prefix.format(layer=layer)
    n, d, q = shape["kv_heads"], shape["head_dim"], shape["query_heads"]
    rows = torch.arange(n * d).reshape(n, d)
    slices = []
    for kind in (".weight", ".bias"):
        if family.packing == "split":
            slices += [(prefix + "k_proj" + kind, rows, None), (prefix + "v_proj" + kind, None, rows)]
            norm = prefix + "k_norm" + kind
            if norm in tensors and tensors[norm].numel() == rows.numel() > d:  # each head has weights of its own
                slices.append((norm, rows, None))
        elif family.packing in ("concatenated", "transposed"):
            names = ["qkv_proj", "Wqkv"] if family.packing == "concatenated" else ["c_attn"]
            slices += [(prefix + name + kind, q * d + rows, (q + n) * d + rows) for name in names]
        elif family.packing == "parts":  # of 4: q, v, k
            part = n * d // 4
            first = (rows // part) * 3 * part + rows % part
            slices.append((prefix + "qkv_proj" + kind, first + 2 * part, first + part))
        else:  # interleaved: each KV head has its queries, its key and its value in this order
            group = q // n
            block = torch.arange(n)[:, None] * (group + 2) * d + torch.arange(d)[None, :]
            for name in ("query_key_value", "c_attn"):
                slices.append((prefix + name + kind, block + group * d, block + (group + 1) * d))
    return [s for s in slices if s[0] in tensors]


def on_rows(family, name, tensor, change):
    """`change` of the tensor as rows of heads: a class may store matrices transposed, and norms' weights by head."""
    if name.endswith("norm.weight"):
        return change(tensor.reshape(-1)).reshape(tensor.shape)
    if family.packing == "transposed" and tensor.dim() == 2:
        return change(tensor.t()).t()
    return change(tensor)


def pool(tensor, index, labels):
    """Every group's mean over its heads, copied back to each of them. Means in float64, rounded once."""
    result = tensor.clone()
    heads = tensor.to(torch.float64)[index]  # (kv_heads, head_dim[, hidden])
    labels = torch.tensor(labels)
    for group in labels.unique():
        members = labels == group
        result[index[members]] = heads[members].mean(0, keepdim=True).expand_as(heads[members]).to(tensor.dtype)
    return result


def mean_pool(family, tensors, config, labels):
    """(tensors with pooled keys and values, squared error over keys, over values), all layers."""
    shape = geometry(config)
    if not family.grouped:
        shape["kv_heads"] = shape["query_heads"]  # whatever config.json says: the class does not read it
    pooled, cost = dict(tensors), {"k": 0.0, "v": 0.0}
    for layer, layer_labels in zip(places_of_attention(config), labels, strict=True):
        assert len(layer_labels) == shape["kv_heads"]
        slices = kv_slices(family, layer, tensors, shape)
        assert slices, f"no keys and values found in layer {layer}"
        for name, keys, values in slices:
            for part, index in (("k", keys), ("v", values)):
                if index is None:
                    continue
                before = pooled[name]
                pooled[name] = on_rows(family, name, before, lambda rows: pool(rows, index, layer_labels))
                if name.endswith("norm.weight"):
                    continue
                # The error of the exact mean, not of its rounding to the tensor's type.
                exact = on_rows(family, name, before.to(torch.float64), lambda rows: pool(rows, index, layer_labels))
                cost[part] += float((exact - before.to(torch.float64)).square().sum())
    return pooled, cost


def write_like(source, tensors, folder):
    """A checkpoint folder with the config of `source` and these tensors."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    shutil.copy(pathlib.Path(source) / "config.json", folder)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def load(folder):
    """The model in float32 whatever it is stored in, so that two of them can be compared closely. Complains about any
    tensor that the class misses or does not know: transformers itself would only warn."""
    # Falcon's "eager" attention adds the slopes of scores twice, unlike its default.
    falls = json.loads((pathlib.Path(folder) / "config.json").read_text()).get("alibi")
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa" if falls else "eager", output_loading_info=True)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[problem], f"{folder}: {problem} {info[problem]}"
    return model.eval()


def token_ids(vocabulary, length=24, seed=1):
    return torch.randint(3, vocabulary, (2, length), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def logits(model, ids=None):
    return model(token_ids(model.config.vocab_size) if ids is None else ids).logits


@functools.cache
def logits_of(folder):
    """Those of the model in a folder that nobody changes."""
    return logits(load(folder))


def largest_difference(a, b):
    return float((a - b).abs().max())
