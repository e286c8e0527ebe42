"""What llama.cpp makes of a GGUF file: run in its own environment (llama_cpp.txt) by test_llama_cpp.py, as
`run_llama_cpp.py REQUEST.json RESULT.npz`.

Request: {"model": file, "rows": [[token id, ...], ...], "context": cells of the KV cache, "cache": "f32" | "f16" | "q8_0" | "q4_0",
"flash_attention": false, "texts": [text, ...],
"special": whether texts may hold special tokens, "generate": {"prompt": [id, ...], "tokens": n}}. All but "model" may be missing. The result holds
`logits` (positions of all rows, vocabulary), `ids` and `lengths` of the texts, `generated`, `cache_bytes` as llama.cpp
reports them, `log` (JSON lines).
"""

import ctypes
import json
import re
import sys

import llama_cpp as lib
import numpy as np

LOG = []


@lib.llama_log_callback
def remember(level, text, user_data):
    LOG.append(text.decode("utf-8", "replace"))


def open_context(model, request):
    options = lib.llama_context_default_params()
    options.n_ctx = request.get("context", 256)
    options.n_batch = options.n_ubatch = min(options.n_ctx, 512)
    # Flash attention, which is on by default, rounds to half precision. Off, values are padded to the largest layer.
    options.flash_attn_type = -1 if request.get("flash_attention", True) else 0
    options.n_seq_max = options.n_threads = options.n_threads_batch = 1
    options.type_k = options.type_v = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}[request.get("cache", "f32")]
    context = lib.llama_init_from_model(model, options)
    assert context, "".join(LOG)
    return context


def decode(context, ids, first, vocabulary):
    """Logits of all of `ids`, which stand at positions `first`, `first` + 1, ..."""
    batch = lib.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0], batch.logits[i] = token, first + i, 1, 0, 1
    assert lib.llama_decode(context, batch) == 0, "".join(LOG)
    logits = np.ctypeslib.as_array(lib.llama_get_logits(context), (len(ids), vocabulary)).copy()
    lib.llama_batch_free(batch)
    return logits


def forget(context):
    lib.llama_memory_clear(lib.llama_get_memory(context), True)


def generate(context, prompt, count, vocabulary):
    """The likeliest tokens, one at a time from the KV cache."""
    forget(context)
    tokens, logits = list(prompt), decode(context, prompt, 0, vocabulary)
    for _ in range(count):
        tokens.append(int(logits[-1].argmax()))
        logits = decode(context, tokens[-1:], len(tokens) - 1, vocabulary)
    return tokens[len(prompt):]


def tokenize(vocabulary, text, special):
    data = text.encode()
    ids = (lib.llama_token * (len(data) + 16))()
    count = lib.llama_tokenize(vocabulary, data, len(data), ids, len(ids), False, special)
    assert count >= 0
    return list(ids[:count])


def main(request_file, result_file):
    request, result = json.load(open(request_file)), {}
    lib.llama_log_set(remember, ctypes.c_void_p(0))
    lib.llama_backend_init()
    options = lib.llama_model_default_params()
    options.use_mmap = True
    model = lib.llama_model_load_from_file(request["model"].encode(), options)
    assert model, "".join(LOG)
    vocabulary = lib.llama_model_get_vocab(model)
    size = lib.llama_vocab_n_tokens(vocabulary)
    if "texts" in request:
        ids = [tokenize(vocabulary, text, request.get("special", False)) for text in request["texts"]]
        result["lengths"] = np.array([len(row) for row in ids])
        result["ids"] = np.array([token for row in ids for token in row], np.int64)
    if "rows" in request or "generate" in request:
        context = open_context(model, request)
        logits = []
        for row in request.get("rows", []):
            forget(context)
            logits.append(decode(context, row, 0, size))
        result["logits"] = np.concatenate(logits) if logits else np.zeros((0, size))
        if "generate" in request:
            result["generated"] = np.array(generate(context, request["generate"]["prompt"], request["generate"]["tokens"], size))
        reported = re.findall(r"K \(\w+\): +([0-9.]+) MiB, V \(\w+\): +([0-9.]+) MiB", "".join(LOG))
        result["cache_mib"] = np.array([float(k) + float(v) for k, v in reported])
        result["cells"] = np.array(lib.llama_n_ctx(context))
    result["log"] = np.array("".join(LOG))
    np.savez(result_file, **result)


if __name__ == "__main__":
    main(*sys.argv[1:])
