"""Walks all causal language models of the installed transformers and says what qcqa does with a tiny one of each.

    python tests/interop/zoo.py [MODEL_TYPE ...]

    run        logits of `qcqa evaluate` equal those of transformers
    converted  cannot be run, which the program says; a conversion loads in transformers
    refused    one line says why
    no cache   the model has no KV cache of heads: it must be refused
    not made   transformers makes no tiny model of it from plain settings
    WRONG      anything else: other logits, a crash, a message without a reason

Exit code 1 when anything is wrong. Not part of the test suite, which looks at the known families closely."""

import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.simplefilter("ignore")

import safetensors.torch
import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import reference

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
QCQA = os.environ.get("QCQA_BINARY", REPOSITORY / "build/release/qcqa")
MOST_PARAMETERS = 40_000_000
SIZES = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 80, "num_hidden_layers": 4, "num_attention_heads": 8,
         "num_key_value_heads": 4, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1,
         "eos_token_id": 2}
EXPERTS = {"num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "moe_num_experts": 4, "num_experts_per_tok": 2,
           "moe_k": 2, "moe_topk": 2, "moe_intermediate_size": 24, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
           "shared_expert_intermediate_size": 24, "rotary_dim": 4, "attention_types": [[["global", "local"], 2]]}
# From few settings to many: a class may refuse what it does not know, or ask for more.
TRIES = [{**SIZES, **EXPERTS}, SIZES, {k: v for k, v in SIZES.items() if k not in ("head_dim", "num_key_value_heads")},
         {**{k: v for k, v in SIZES.items() if k != "num_key_value_heads"}, "ffn_dim": 80, "decoder_layers": 4,
          "decoder_attention_heads": 8, "encoder_layers": 2, "encoder_attention_heads": 8, "d_model": 64}]
ROWS = [list(range(3, 43)), [5, 9, 60, 7, 7, 80, 33]]


def tiny_config(model_type, sizes):
    """With the text model's sizes set in the place where a composite has them."""
    config = transformers.AutoConfig.for_model(model_type)
    known = set(config.to_dict()) | set(type(config).attribute_map)
    if hasattr(config, "text_config"):
        return None
    return transformers.AutoConfig.for_model(model_type, **{k: v for k, v in sizes.items() if k in known})


def make(model_type):
    """A random model, or why there is none."""
    why = "?"
    for sizes in TRIES:
        try:
            config = tiny_config(model_type, sizes)
            if config is None:
                return "a composite"
            with torch.device("meta"):
                count = sum(p.numel() for p in transformers.AutoModelForCausalLM.from_config(config).parameters())
            if count > MOST_PARAMETERS:
                why = f"{count:,} parameters"
                continue
            torch.manual_seed(1)
            model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if parameter.dim() == 1:
                        parameter.add_(0.2 * torch.randn_like(parameter))
                    else:
                        parameter.copy_(torch.randn_like(parameter) / (1 if "embed" in name else parameter.shape[-1] ** 0.5))
                model(torch.tensor([ROWS[0]]))
            with tempfile.TemporaryDirectory() as folder:
                model.save_pretrained(folder)
            return model
        except Exception as error:  # whatever it is, it says why there is no such model
            why = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
    return why


def run(*arguments):
    return subprocess.run([str(QCQA), *map(str, arguments)], capture_output=True, text=True, timeout=300)


def reason(done):
    """The one line of a refusal; nothing where it is none."""
    lines = [line for line in done.stderr.strip().splitlines() if line.startswith("qcqa: error: ")]
    return lines[0].removeprefix("qcqa: error: ") if done.returncode == 2 and len(lines) == 1 else None


def has_kv_cache(model):
    with torch.no_grad():
        out = model(torch.tensor([ROWS[0]]), use_cache=True)
    layers = getattr(getattr(out, "past_key_values", None), "layers", None) or []
    return any(getattr(layer, "keys", None) is not None and layer.keys.dim() == 4 for layer in layers)


def judge(model, folder):
    """(verdict, why)"""
    model.save_pretrained(folder / "model")
    seen = run("inspect", folder / "model")
    try:
        cached = has_kv_cache(model)
    except Exception:  # a class that takes no use_cache
        cached = False
    if seen.returncode != 0:
        why = reason(seen)
        if why is None:
            return "WRONG", f"exit code {seen.returncode}: {seen.stderr.strip()[-300:]}"
        return ("refused" if cached else "no cache"), why
    if not cached:
        return "WRONG", "has no KV cache of heads, and is not refused"
    ids = folder / "ids.jsonl"
    ids.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    done = run("evaluate", folder / "model", "--token-ids", ids, "--context", 64, "-q", "--dump-logits", folder / "logits")
    if done.returncode == 0:
        found = safetensors.torch.load_file(folder / "logits/model.safetensors")["logits"]
        with torch.no_grad():
            right = torch.cat([model(torch.tensor([row])).logits[0] for row in ROWS])
        off = float((found - right).abs().max()) / max(1.0, float(right.abs().max()))
        return ("run", f"{off:.0e}") if off < 1e-3 else ("WRONG", f"logits are off by {off:.2g}")
    why = reason(done)
    if why is None:
        return "WRONG", f"evaluate: exit code {done.returncode}: {done.stderr.strip()[-300:]}"
    done = run("convert", folder / "model", "-o", folder / "out", "--groups", 2, "--cardinality", "equal")
    if done.returncode != 0:
        return ("refused", reason(done)) if reason(done) else ("WRONG", f"convert: {done.stderr.strip()[-300:]}")
    reference.logits(reference.load(folder / "out"), torch.tensor([ROWS[0]]))
    return "converted", why


def main():
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    counts = collections.Counter()
    for model_type in sys.argv[1:] or sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES):
        model = make(model_type)
        if isinstance(model, str):
            verdict, why = "not made", model
        else:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    verdict, why = judge(model, pathlib.Path(folder))
                except Exception as error:
                    verdict, why = "WRONG", f"{type(error).__name__}: {error}"
        counts[verdict] += 1
        print(f"{model_type:24} {verdict:10} {' '.join(why.split())[:200]}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    return 1 if counts["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
