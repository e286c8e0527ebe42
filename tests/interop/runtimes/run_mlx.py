"""What mlx-lm on a CPU makes of a model folder: run in its own environment (mlx.txt) by test_mlx.py, as
`run_mlx.py REQUEST.json RESULT.npz`.

Request: {"model": folder, "rows": [[token id, ...], ...], "generate": {"prompt": [id, ...], "tokens": n}}. The result
holds `logits` (positions of all rows, vocabulary), `generated`, and `cache_bytes` per token as the KV cache stores them.
"""

import json
import pathlib
import sys

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache
from mlx_lm.utils import load_model


def cache_bytes_per_token(cache):
    """Caches grow in steps of many tokens."""
    return sum((layer.keys.nbytes + layer.values.nbytes) / layer.keys.shape[2] for layer in cache)


def generate(model, prompt, count):
    """The likeliest tokens, one at a time from the KV cache."""
    cache, tokens = make_prompt_cache(model), list(prompt)
    logits = model(mx.array([prompt]), cache=cache)
    for _ in range(count):
        tokens.append(int(mx.argmax(logits[0, -1])))
        logits = model(mx.array([tokens[-1:]]), cache=cache)
    return tokens[len(prompt):], cache_bytes_per_token(cache)


def main(request_file, result_file):
    request = json.load(open(request_file))
    mx.set_default_device(mx.cpu)
    model, _ = load_model(pathlib.Path(request["model"]), strict=True)
    result = {"logits": np.concatenate([np.array(model(mx.array([row]))[0].astype(mx.float32)) for row in request["rows"]])}
    if "generate" in request:
        generated, size = generate(model, request["generate"]["prompt"], request["generate"]["tokens"])
        result.update(generated=np.array(generated), cache_bytes=np.array(size))
    np.savez(result_file, **result)


if __name__ == "__main__":
    main(*sys.argv[1:])
