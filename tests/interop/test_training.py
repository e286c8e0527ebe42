"""Converted checkpoints go on in trainers as any other: they load, learn, save, and come back."""

import json

import pytest
import torch

import reference
import serving
from architectures import VOCABULARY, Variant, family
from test_remote_code import load, per_layer_plan

VARIANT = Variant(family("llama"), extra=(("attention_bias", False),))
STEPS = 20


def fine_tuned(folder, out):
    """A plain loop with embedding and output matrix frozen; returns the model and its losses."""
    model = load(folder, attn_implementation="eager").train()
    for module in (model.get_input_embeddings(), model.get_output_embeddings()):
        module.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-3)
    ids = reference.token_ids(VOCABULARY, length=48)
    losses = []
    for _ in range(STEPS):
        loss = model(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    model.save_pretrained(out)
    return model.eval(), losses


@pytest.mark.parametrize("layout", ["gqa", "remote-code"])
def test_fine_tuned_and_back(qcqa, built, tmp_path, layout):
    source = built(VARIANT)
    plan = ["--groups", 4] if layout == "gqa" else per_layer_plan(qcqa, VARIANT, source, tmp_path)
    qcqa.run("convert", source, "-o", tmp_path / "out", *plan, "--layout", layout)
    model, losses = fine_tuned(tmp_path / "out", tmp_path / "tuned")
    assert losses[-1] < 0.8 * losses[0]
    before, after = reference.read_tensors(tmp_path / "out"), reference.read_tensors(tmp_path / "tuned")
    assert {name for name in before if reference.same_bits(before[name], after[name])} == {
        "model.embed_tokens.weight", "lm_head.weight"}

    # The same in transformers as in qcqa.
    again = load(tmp_path / "tuned", attn_implementation="eager")
    assert torch.equal(reference.logits(again), reference.logits(model))
    heads = [qcqa.json("inspect", tmp_path / name, "--json", "-")["kv_bytes_per_token"] for name in ("out", "tuned")]
    assert heads[0] == heads[1]
    rows = serving.documents()
    _, logits = serving.evaluated(qcqa, tmp_path / "tuned", rows, tmp_path / "evaluated")
    with torch.no_grad():
        expected = torch.cat([model(torch.tensor([row])).logits[0] for row in rows])
    assert reference.largest_difference(torch.tensor(logits), expected) <= 1e-3

    # What no report of qcqa lies beside can be distilled, too.
    qcqa.run("distill", tmp_path / "tuned", "--reference", source, "-o", tmp_path / "distilled", "--calibrate", "self",
             "--calibration-tokens", 2048, "--distill-steps", 40, "--distill-rate", 0.003)
    result = json.loads((tmp_path / "distilled/qcqa-distill.json").read_text())
    assert result["kl_after"] < result["kl_before"]
    assert (tmp_path / "distilled/config.json").read_bytes() == (tmp_path / "tuned/config.json").read_bytes()
    load(tmp_path / "distilled")
