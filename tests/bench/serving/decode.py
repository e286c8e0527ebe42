#!/usr/bin/env python3
"""decode.py RUNTIME CONTEXT BUDGET_MIB FOLDER...: a table of decoding speed; run by run.sh, in the runtime's environment.

Every folder is measured in a process of its own, in turns, and the better of two turns counts. The KV cache is filled with
random keys and values where the runtime allows that (transformers), else by reading a random text (llama.cpp), once; every
sequence of the batch gets a copy. `cpu` is seconds of all threads per token: it tells a slow program from a busy machine.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import time

THREADS = int(os.environ.get("QCQA_BENCH_THREADS", os.cpu_count()))
STEPS = 8
TURNS = 2


def card_bytes(folder):
    """KV bytes per token that the model card claims."""
    card = (pathlib.Path(folder) / "README.md").read_text()
    return int(re.search(r"\| KV cache per token \| \d+ bytes \| (\d+) bytes", card)[1])


def timed(step, batch):
    step()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(STEPS):
        step()
    return {"tokens_per_second": STEPS * batch / (time.perf_counter() - wall),
            "cpu": (time.process_time() - cpu) / (STEPS * batch)}


def transformers_speeds(folder, context, batches):
    import torch
    import transformers

    torch.set_num_threads(THREADS)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32).eval()
    shapes = [(layer.self_attn.k_proj.out_features // layer.self_attn.head_dim, layer.self_attn.head_dim)
              for layer in model.model.layers]
    for batch in batches:
        cache = transformers.DynamicCache()
        for index, (heads, head_dim) in enumerate(shapes):
            cache.update(*(torch.randn(batch, heads, context, head_dim) for _ in range(2)), index)
        state = {"ids": torch.zeros((batch, 1), dtype=torch.long)}

        def step():
            with torch.no_grad():
                output = model(state["ids"], past_key_values=cache, use_cache=True, logits_to_keep=1)
            state["ids"] = output.logits[:, -1:].argmax(-1)

        yield timed(step, batch)


def llama_cpp_speeds(folder, context, batches):
    import ctypes

    import llama_cpp as lib

    silent = lib.llama_log_callback(lambda *_: None)  # must outlive the library's use of it
    lib.llama_log_set(silent, ctypes.c_void_p(0))
    lib.llama_backend_init()
    folder = folder + "-gguf"
    model = lib.llama_model_load_from_file(f"{folder}/model.gguf".encode(), lib.llama_model_default_params())
    assert model, folder
    most = max(batches)
    cells = (context + len(batches) * (STEPS + 2) + 255) // 256 * 256
    options = lib.llama_context_default_params()
    options.n_ctx, options.n_seq_max, options.n_batch, options.n_ubatch = cells * most, most, 512, 512
    options.n_threads = options.n_threads_batch = THREADS
    state = lib.llama_init_from_model(model, options)
    assert state, "no context"
    batch_of = lib.llama_batch_init(512, 0, 1)

    def decode(tokens):  # (token, position, sequence)
        batch_of.n_tokens = len(tokens)
        for i, (token, position, sequence) in enumerate(tokens):
            batch_of.token[i], batch_of.pos[i], batch_of.n_seq_id[i] = token, position, 1
            batch_of.seq_id[i][0], batch_of.logits[i] = sequence, int(i == len(tokens) - 1 or len(tokens) <= most)
        assert lib.llama_decode(state, batch_of) == 0

    for start in range(0, context, 512):
        decode([((i * 7919) % 31000 + 3, i, 0) for i in range(start, min(start + 512, context))])
    memory = lib.llama_get_memory(state)
    for sequence in range(1, most):
        lib.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
    position = [context]
    for batch in batches:
        def step():
            decode([(5 + sequence, position[0], sequence) for sequence in range(batch)])
            position[0] += 1

        yield timed(step, batch)
        # The sequences that had no part are behind now; the next batch must find all at one place.
        for sequence in range(most):
            lib.llama_memory_seq_rm(memory, sequence, context, -1)
        position[0] = context


def measure(runtime, context, budget, folder):
    claimed = card_bytes(folder if runtime == "transformers" else folder + "-gguf")
    largest = max(1, budget * 2**20 // (claimed * context))
    speeds = {"transformers": transformers_speeds, "llama.cpp": llama_cpp_speeds}[runtime]
    one, many = speeds(folder, context, [1, largest])
    return {"kv_bytes": claimed, "largest": largest, "one": one, "many": many}


def main():
    if sys.argv[1] == "--measure":
        runtime, context, budget, folder = sys.argv[2:]
        print(json.dumps(measure(runtime, int(context), int(budget), folder)))
        return
    runtime, context, budget, *folders = sys.argv[1:]
    best = {}
    for _ in range(TURNS):
        for folder in folders:
            done = subprocess.run([sys.executable, __file__, "--measure", runtime, context, budget, folder], text=True,
                                  capture_output=True)
            if done.returncode != 0:
                sys.exit(done.stderr)
            found = json.loads(done.stdout.splitlines()[-1])
            kept = best.setdefault(folder, found)
            for part in ("one", "many"):
                kept[part] = max(kept[part], found[part], key=lambda entry: entry["tokens_per_second"])
    first = best[folders[0]]
    print(f"\n{runtime}\n  {'':16} {'KV/token':>9} {'one sequence':>22} {'cpu':>8} {'largest batch':>26} {'cpu':>8}")
    for folder, found in best.items():
        one, many = found["one"], found["many"]
        print(f"  {pathlib.Path(folder).name:16} {found['kv_bytes']:9} {one['tokens_per_second']:9.2f} tokens/s "
              f"{one['tokens_per_second'] / first['one']['tokens_per_second']:.2f}x {one['cpu']:6.3f} s "
              f"{found['largest']:3} x {many['tokens_per_second']:8.2f} tokens/s "
              f"{many['tokens_per_second'] / first['many']['tokens_per_second']:.2f}x {many['cpu']:6.3f} s", flush=True)


if __name__ == "__main__":
    main()
