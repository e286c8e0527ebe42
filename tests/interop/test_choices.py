"""`qcqa evaluate --choices` answers questions as EleutherAI's lm-evaluation-harness does: its rules (0.4.13: `_encode_pair`
and `loglikelihood` of lm_eval/api/model.py, `process_results` of lm_eval/api/task.py) on transformers' models. The package
itself would bring 45 others, 640 MB, into the environment; on earlier questions of this kind it counted the same answers right."""

import json
import math

import numpy
import pytest
import torch
import transformers

import reference
from conftest import REPOSITORY

EXAMPLE = REPOSITORY / "examples/model"


def questions():
    """What follows in a story of the example model, or in other ones; and contexts that are a matter of their own."""
    stories = [json.loads(line)["text"] for line in (EXAMPLE / "sample.jsonl").read_text().splitlines()][:60]
    rows = []
    for i, story in enumerate(stories):
        words = story.split(" ")
        at = 6 + 3 * i % (len(words) - 10)
        right = " ".join(words[at : at + 1 + i % 4])
        wrong = {" ".join(stories[i - k].split(" ")[at : at + 1 + (i + k) % 4]) for k in (1, 2, 3)} - {right, ""}
        choices = sorted(wrong | {right})
        rows.append({"context": " ".join(words[:at]) + " ", "choices": choices, "answer": choices.index(right)})
    odd = [("", ["Sam is a boy.", "boy"]), (" ", ["Jo", "is"]), ("Sam is a boy.\n\n", ["The end.", "gir"]),
           ("Alex has a w", ["hite lamp. The end.", "hile"]), ("Jo is a\u00a0", ["girl.", "caf\u00e9 \u4f60\u597d"]), ("Sam\x1c", ["has it.", "it"])]
    return rows + [{"context": context, "choices": choices, "answer": 0} for context, choices in odd]


def encoded(tokenizer, context, choice, bos):
    """(tokens of the context, tokens of the choice)"""
    before = [tokenizer.bos_token_id] if bos else []

    def encode(text):
        return before + tokenizer.encode(text, add_special_tokens=False)

    bare = context.rstrip()
    joined = context + choice
    if not bare:  # the harness tests this before it strips, and cannot do with white space alone
        return [tokenizer.bos_token_id], tokenizer.encode(joined, add_special_tokens=False)
    left = encode(bare)
    return left, encode(joined)[len(left):]


@torch.no_grad()
def log_likelihood(model, context, choice, most):
    ids = (context + choice)[-most:]
    scores = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    return sum(float(scores[at - 1, ids[at]]) for at in range(len(ids) - len(choice), len(ids)))


def answers(folder, rows, bos, most):
    """(by the sum, by the sum per character)"""
    model, tokenizer = reference.load(folder), transformers.AutoTokenizer.from_pretrained(folder)
    by_sum, by_character = [], []
    for row in rows:
        sums = numpy.array([log_likelihood(model, *encoded(tokenizer, row["context"], choice, bos), most)
                            for choice in row["choices"]])
        by_sum.append(int(sums.argmax()))
        by_character.append(int((sums / [len(choice) for choice in row["choices"]]).argmax()))
    return by_sum, by_character


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    rows = questions()
    file = tmp_path_factory.mktemp("choices") / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows, file


@pytest.fixture(scope="module")
def halved(qcqa, tmp_path_factory):
    out = tmp_path_factory.mktemp("halved") / "out"
    qcqa.convert(EXAMPLE, out, "--groups", 4, "--merge", "aligned")
    return out


@pytest.mark.parametrize("bos,most", [("always", 128), ("never", 128), ("never", 16)])
def test_answers_are_those_of_the_harness(qcqa, asked, halved, bos, most):
    rows, file = asked
    found = qcqa.json("evaluate", halved, "--reference", EXAMPLE, "--choices", file, "--bos", bos, "--context", most,
                      "--json", "-", "-q")["choices"]
    assert found["questions"] == len(rows)
    ours, theirs = (answers(folder, rows, bos == "always", most) for folder in (halved, EXAMPLE))
    for name, changed, a, b in zip(("acc", "acc_norm"), ("changed", "changed_norm"), ours, theirs):
        assert found["reference"][changed] == sum(x != y for x, y in zip(a, b)) > 0
        for result, by in ((found, a), (found["reference"], b)):
            share = sum(x == row["answer"] for x, row in zip(by, rows)) / len(rows)
            assert result[name] == pytest.approx(share)
            assert result[f"{name}_stderr"] == pytest.approx(math.sqrt(share * (1 - share) / (len(rows) - 1)))
