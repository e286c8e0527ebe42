"""Which files of a folder are the model, and what is in them: as transformers reads the same folder."""

import json
import shutil
import struct

import pytest
import safetensors.torch
import torch
import transformers

import reference
from architectures import VOCABULARY, Variant, family
from test_evaluate import TOLERANCE, documents, dumped_logits, expected_logits

WHOLE, SHARD = "model.safetensors", "model-00001-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


def edit_config(folder, **values):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def write_index(folder, names, file):
    index = {"metadata": {"total_size": 1}, "weight_map": {name: file for name in names}}
    (folder / INDEX).write_text(json.dumps(index))


def save(tensors, file):
    safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file,
                                metadata={"format": "pt"})


def other(tensors):
    return {name: tensor * 0.5 for name, tensor in tensors.items()}


def stale_index(folder, tensors):
    write_index(folder, tensors, "model-00001-of-00001.safetensors")


def other_shards(folder, tensors):
    write_index(folder, tensors, SHARD)
    save(other(tensors), folder / SHARD)


def forgotten_tensor(folder, tensors):
    (folder / WHOLE).rename(folder / SHARD)
    write_index(folder, [name for name in tensors if "up_proj" not in name], SHARD)


def tensor_in_two_shards(folder, tensors):
    (folder / WHOLE).rename(folder / SHARD)
    second = SHARD.replace("00001-of", "00002-of")
    save({name: tensor for name, tensor in other(tensors).items() if "down_proj" in name}, folder / second)
    write_index(folder, tensors, SHARD)
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"]["more.weight"] = second
    (folder / INDEX).write_text(json.dumps(index))


def dotted_path(folder, tensors):
    (folder / WHOLE).rename(folder / SHARD)
    write_index(folder, tensors, "./" + SHARD)


def dangling_link(folder, tensors):
    (folder / WHOLE).rename(folder / SHARD)
    (folder / WHOLE).symlink_to("../../blobs/0123")
    write_index(folder, tensors, SHARD)


def named_in_config(folder, tensors):
    (folder / WHOLE).rename(folder / "mine.safetensors")
    save(other(tensors), folder / WHOLE)
    edit_config(folder, transformers_weights="mine.safetensors")


def bin_beside(folder, tensors):
    torch.save(other(tensors), folder / "pytorch_model.bin")


def null_metadata(folder, _):
    raw = (folder / WHOLE).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8:8 + size]) | {"__metadata__": None}
    text = json.dumps(header).encode()
    (folder / WHOLE).write_bytes(struct.pack("<Q", len(text)) + text + raw[8 + size:])


def legacy_bin(folder, tensors):
    (folder / WHOLE).unlink()
    torch.save(tensors, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def legacy_bin_of_parameters(folder, tensors):
    (folder / WHOLE).unlink()
    shared = torch.cat([tensor.reshape(-1) for tensor in tensors.values()])
    parts = shared.split([tensor.numel() for tensor in tensors.values()])
    state = {name: torch.nn.Parameter(part.view(tensor.shape)) for (name, tensor), part in zip(tensors.items(), parts)}
    torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def bin_with_more(folder, tensors):
    (folder / WHOLE).unlink()
    torch.save(tensors | {"epoch": 3, "version": "1.0"}, folder / "pytorch_model.bin")


def literals_in_config(folder, _):
    edit_config(folder, time_step_limit=[0.0, float("inf")], some_nan=float("nan"), some_minus=-float("inf"))


CHANGES = [stale_index, other_shards, forgotten_tensor, tensor_in_two_shards, dotted_path, dangling_link, named_in_config,
           bin_beside, null_metadata, legacy_bin, legacy_bin_of_parameters, bin_with_more, literals_in_config]


def load(folder):
    """As reference.load, but what a folder holds beside the model's tensors may be there."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not info["missing_keys"] and not info["mismatched_keys"]
    return model.eval()


@pytest.fixture
def changed(built, tmp_path):
    def make(change):
        source = built(Variant(family("llama")))
        folder = tmp_path / "model"
        shutil.copytree(source, folder)
        change(folder, reference.read_tensors(source))
        return folder

    return make


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_reads_what_transformers_reads(qcqa, changed, tmp_path, change):
    folder = changed(change)
    rows = documents(VOCABULARY, lengths=(40, 9))
    _, found = dumped_logits(qcqa, folder, rows, tmp_path)
    assert reference.largest_difference(found, expected_logits(load(folder), rows)) <= TOLERANCE


@pytest.mark.parametrize("change", [named_in_config, forgotten_tensor, literals_in_config], ids=lambda change: change.__name__)
def test_what_is_written_loads(qcqa, changed, tmp_path, change):
    """Groups of one head change nothing: the output is the input."""
    folder = changed(change)
    heads = json.loads((folder / "config.json").read_text())["num_key_value_heads"]
    qcqa.convert(folder, tmp_path / "out", "--groups", heads)
    rows = documents(VOCABULARY, lengths=(40, 9))
    expected = expected_logits(reference.load(folder), rows)
    assert reference.largest_difference(expected_logits(reference.load(tmp_path / "out"), rows), expected) <= TOLERANCE
    before, after = (json.loads((f / "config.json").read_text()) for f in (folder, tmp_path / "out"))
    assert json.dumps(after.get("time_step_limit")) == json.dumps(before.get("time_step_limit"))
    assert "transformers_weights" not in after


def test_two_sets_of_weights_are_named(qcqa, changed):
    said = qcqa.run("inspect", changed(other_shards)).stderr
    assert said.count("\n") == 1 and "model.safetensors" in said and INDEX in said


def test_other_weights_are_left_out(qcqa, changed, tmp_path):
    folder = changed(bin_beside)
    for name in ("params.json", "consolidated.safetensors", "quantize_config.json", "trainer_state.json", "adapter_config.json"):
        (folder / name).write_text("{}")
    (folder / "original").mkdir()
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates/tool.jinja").write_text("{{ messages }}")
    said = qcqa.run("convert", folder, "--groups", 2, "-o", tmp_path / "out").stdout
    left_out = ("adapter_config.json", "consolidated.safetensors", "original/", "params.json", "pytorch_model.bin")
    assert f"Not copied, since it is not part of the converted model: {', '.join(left_out)}" in said
    assert not any((tmp_path / "out" / name).exists() for name in left_out)
    assert (tmp_path / "out/additional_chat_templates/tool.jinja").read_text() == "{{ messages }}"
    assert (tmp_path / "out/tokenizer.json").exists()
