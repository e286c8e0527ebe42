"""families.md says what can be done with every family: as qcqa inspect says it of a tiny model of each. That it is so,
the other tests show. QCQA_WRITE_FAMILIES=1 writes the file anew."""

import os
import pathlib

import serving
from architectures import FAMILIES, Variant

TABLE = pathlib.Path(__file__).with_name("families.md")
LAYOUTS = [("transformers", "gqa"), ("transformers", "remote-code"), ("transformers", "shared-cache"), ("vllm", "nemotron-nas"), ("mlx", "openelm"),
           ("llama.cpp", "gqa"), ("llama.cpp", "deci")]
HEADER = """# What can be done with each family

Written by `test_family_table.py`: what `qcqa inspect` says of a tiny model of each, without biases where config.json decides.
All families can be searched (`wse`, `aligned`, `subspace`), converted with `mean`, `first`, `weighted`, `aligned` and
`subspace`, and written with `--layout expanded`. "run" is evaluation, calibration, `refit`, `reconstruct` and `distill`; `gqa` is
what vLLM and mlx-lm load as well where they have the family, `remote-code` what vLLM serves as well (`vllm.sh` runs
those that its transformers can build), `shared-cache` is for transformers alone, `llama.cpp` is GGUF for that runtime; the last four compute
what Llama computes and nothing else, so what else a family has stands in the way; but llama.cpp has architectures of their own for
bloom, falcon, gpt2, gpt_bigcode, gpt_neox and mpt.

"""
BIASES = ("attention_bias", "mlp_bias", "bias", "use_bias", "use_qkv_bias", "attention_out_bias")


def plain(variant):
    """Without biases by a key."""
    return Variant(variant.family, extra=tuple((key, False) for key in BIASES if variant.family.config.get(key)))


def reason(said):
    """The part of a refusal that says what the family has."""
    about = said.split("; found ", 1)
    rule, found = about[0].split(": ", 1)[-1], about[-1].split(". ", 1)[0].removesuffix(".")
    return rule.replace("the FAMILY model class", "the class") if found in ("FAMILY", "none") else found.removeprefix("FAMILY with ")


def test_the_table_is_what_inspect_says(qcqa, built, tmp_path):
    rows = []
    for family in sorted(FAMILIES, key=lambda f: f.name):
        folder = serving.without_tokenizer(built(plain(Variant(family))), tmp_path / family.name)
        seen = qcqa.json("inspect", folder, "--json", "-")
        found = [seen.get("why_not_run", "")]
        found += [seen["runtimes"][runtime][layout].get("why_not", "") for runtime, layout in LAYOUTS]
        # Each reason once, in the order of the cells.
        layouts = [seen["runtimes"][runtime][layout] for runtime, layout in LAYOUTS]
        windowed = any(layout["possible"] and "same_up_to" in layout for layout in layouts)
        reasons = dict.fromkeys(reason(why.replace(f" {family.name}", " FAMILY")) for why in found if why)
        rows.append([family.name, *("no" if why else "yes" for why in found),
                     "; ".join([*reasons, *(["the last four: texts as long as a window"] if windowed else [])])])
    head = ["family", "run", "`gqa`", "`remote-code`", "`shared-cache`", "vLLM `nemotron-nas`", "mlx-lm `openelm`", "llama.cpp `gqa`",
            "llama.cpp `deci`", "what stands in the way"]
    lines = ["| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]]
    text = HEADER + "\n".join(lines) + "\n"
    if os.environ.get("QCQA_WRITE_FAMILIES"):
        TABLE.write_text(text)
    assert TABLE.read_text() == text
