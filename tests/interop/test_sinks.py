"""gpt-oss: attention sinks travel with their query heads, experts in MXFP4 are run and carried along."""

import json

import pytest
import safetensors.torch
import torch
import transformers

import reference
from architectures import VOCABULARY, Variant, family
from conftest import plan_labels
from test_evaluate import TOLERANCE, documents, dumped_logits, expected_logits

GPT_OSS = Variant(family("gpt_oss"))
WHOLE_BLOCKS = Variant(family("gpt_oss"), extra=(("intermediate_size", 96),))


@pytest.mark.parametrize("layout", ["gqa", "remote-code", "expanded"])
def test_sinks_move_with_their_heads(qcqa, built, tmp_path, layout):
    source = built(GPT_OSS)
    qcqa.run("convert", source, "-o", tmp_path / "out", "--layout", layout, "--groups", 3, "--cardinality", "arbitrary")
    labels = plan_labels(tmp_path / "out")
    assert any(layer != sorted(layer) for layer in labels), "heads in order prove little"
    tensors, _ = reference.mean_pool(GPT_OSS.family, reference.read_tensors(source),
                                     json.loads((source / "config.json").read_text()), labels)
    expected = reference.logits_of(reference.write_like(source, tensors, tmp_path / "pooled"))
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "out", trust_remote_code=True, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"] and not info["mismatched_keys"]
    assert reference.largest_difference(reference.logits(model.eval()), expected) <= 1e-4
    # The sinks must matter, or the comparison above would prove nothing.
    without = {name: torch.full_like(t, -30) if name.endswith("sinks") else t for name, t in tensors.items()}
    assert reference.largest_difference(
        reference.logits_of(reference.write_like(source, without, tmp_path / "without")), expected) > 0.05


def in_mxfp4(source, folder):
    """The same folder as the published ones: experts as blocks of 32 values of 4 bits with a scale each."""
    generator = torch.Generator().manual_seed(3)
    tensors = reference.read_tensors(source)
    for name in [name for name in tensors if name.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        experts, inputs, outputs = tensors.pop(name).shape
        blocks = [experts, outputs, inputs // 32]
        tensors[name + "_blocks"] = torch.randint(0, 256, [*blocks, 16], generator=generator, dtype=torch.uint8)
        tensors[name + "_scales"] = torch.randint(122, 126, blocks, generator=generator, dtype=torch.uint8)
    reference.write_like(source, tensors, folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": [
        "model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"]}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_experts_in_mxfp4_are_carried(qcqa, built, tmp_path):
    source = in_mxfp4(built(WHOLE_BLOCKS), tmp_path / "source")
    qcqa.run("convert", source, "-o", tmp_path / "out", "--groups", 4, "--cardinality", "equal", "--merge", "subspace")
    before, after = reference.read_tensors(source), reference.read_tensors(tmp_path / "out")
    assert set(before) == set(after)
    assert all(reference.same_bits(before[name], after[name]) for name in before if ".self_attn." not in name)
    assert after["model.layers.0.self_attn.k_proj.weight"].shape[0] == 4 * 8
    config = json.loads((tmp_path / "out/config.json").read_text())
    assert config["quantization_config"] == json.loads((source / "config.json").read_text())["quantization_config"]
    assert config["num_key_value_heads"] == 4


def test_experts_in_mxfp4_are_run(qcqa, built, tmp_path):
    source = in_mxfp4(built(WHOLE_BLOCKS), tmp_path / "source")
    expected = transformers.AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, attn_implementation="eager",
        quantization_config=transformers.Mxfp4Config(dequantize=True)).eval().float()
    assert expected.model.layers[0].mlp.experts.down_proj.shape == (4, 96, 64)
    rows = documents(VOCABULARY)
    _, found = dumped_logits(qcqa, source, rows, tmp_path / "work")
    assert reference.largest_difference(found, expected_logits(expected, rows)) <= TOLERANCE


def test_quantised_attention_is_refused(qcqa, built, tmp_path):
    source = in_mxfp4(built(WHOLE_BLOCKS), tmp_path / "source")
    tensors = reference.read_tensors(source)
    name = "model.layers.1.self_attn.k_proj.weight"
    tensors[name] = tensors[name].to(torch.int8)
    safetensors.torch.save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    done = qcqa.run("convert", source, "-o", tmp_path / "out", "--groups", 4, expect=2)
    assert name in done.stderr and not (tmp_path / "out").exists()
