"""A trained checkpoint, when the shared folder is there: random weights cannot show a lost norm or a wrong rotation as
clearly as text that stops making sense."""

import json

import pytest
import torch

import reference
from architectures import Family

STORIES = Family("llama")


@pytest.fixture(scope="module")
def stories(shared):
    folder = shared / "models/stories15M"
    if not (folder / "model.safetensors").exists():
        pytest.skip(f"{folder} is not there")
    return folder


def ids_of(shared, folder):
    sentencepiece = pytest.importorskip("sentencepiece")
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    text = (shared / "data/tinystories_dev.txt").read_text()[:12000]
    ids = tokenizer.encode(text)
    blocks = [[tokenizer.bos_id(), *ids[at : at + 255]] for at in range(0, 255 * 8, 255)]
    return torch.tensor(blocks)


@torch.no_grad()
def perplexity(model, ids):
    scores = torch.log_softmax(model(ids).logits[:, :-1].double(), -1)
    return float(torch.exp(-scores.gather(-1, ids[:, 1:, None]).mean()))


@pytest.mark.parametrize("cardinality", ["contiguous", "equal"])
def test_stories_grouped_by_two(qcqa, shared, stories, tmp_path, cardinality):
    labels = qcqa.convert(stories, tmp_path / "out", "--groups", 3, "--cardinality", cardinality, "--layout", "gqa")
    config = json.loads((stories / "config.json").read_text())
    tensors, cost = reference.mean_pool(STORIES, reference.read_tensors(stories), config, labels)
    assert cost["k"] + cost["v"] == pytest.approx({"contiguous": 504.47, "equal": 490.27}[cardinality], abs=0.006)

    ids = ids_of(shared, stories)
    found = reference.load(tmp_path / "out")
    expected = reference.load(reference.write_like(stories, tensors, tmp_path / "reference"))
    assert found.config.num_key_value_heads == 3
    assert reference.largest_difference(reference.logits(found, ids[:2]), reference.logits(expected, ids[:2])) <= 1e-3
    assert perplexity(found, ids) == pytest.approx(perplexity(expected, ids), rel=1e-5)


def test_stories_identity_keeps_perplexity(qcqa, shared, stories, tmp_path):
    qcqa.convert(stories, tmp_path / "out", "--groups", 6, "--cardinality", "contiguous", "--layout", "gqa")
    before, after = reference.read_tensors(stories), reference.read_tensors(tmp_path / "out")
    assert all(reference.same_bits(before[name], after[name]) for name in before)
    assert perplexity(reference.load(tmp_path / "out"), ids_of(shared, stories)) < 10
