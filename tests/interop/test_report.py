"""The report follows its published schema, and its costs are those of the definition."""

import json

import jsonschema
import pytest

import reference
from architectures import Variant, family
from conftest import plan_labels

SEARCHED = [
    Variant(family("llama")),
    Variant(family("qwen2"), kv_heads=4),
    Variant(family("phi3"), dtype="bfloat16"),
    Variant(family("gpt_neox")),
]


@pytest.fixture(scope="session")
def schema(qcqa):
    found = qcqa.json("report", "--schema")
    jsonschema.validators.validator_for(found).check_schema(found)
    return found


def check(document, schema):
    jsonschema.validate(document, schema, cls=jsonschema.validators.validator_for(schema))


@pytest.fixture(scope="session")
def searched(qcqa, built, tmp_path_factory):
    root, reports = tmp_path_factory.mktemp("reports"), {}

    def get(variant):
        if variant not in reports:
            file = root / f"{variant}.json"
            qcqa.run("search", built(variant), "-o", file, "--population", 40, "--generations", 30, "--seed", 7)
            reports[variant] = file
        return reports[variant]

    return get


@pytest.mark.parametrize("variant", SEARCHED, ids=str)
def test_search_report_follows_the_schema(qcqa, searched, schema, variant):
    check(json.loads(searched(variant).read_text()), schema)


def test_schema_refuses_what_is_not_a_report(schema, searched):
    report = json.loads(searched(SEARCHED[0]).read_text())
    for break_it in (
        lambda r: r.pop("schema_version"),
        lambda r: r.pop("front"),
        lambda r: r["front"][0].update(cost="cheap"),
        lambda r: r["front"][0].update(labels=[["a"]]),
        lambda r: r["layers"][0].pop("groupings"),
        lambda r: r["model"].update(kv_heads=-1),
    ):
        broken = json.loads(json.dumps(report))
        break_it(broken)
        with pytest.raises(jsonschema.ValidationError):
            check(broken, schema)


@pytest.mark.parametrize("variant", SEARCHED, ids=str)
def test_costs_are_those_of_the_definition(built, searched, variant):
    report = json.loads(searched(variant).read_text())
    source = built(variant)
    tensors, config = reference.read_tensors(source), json.loads((source / "config.json").read_text())
    front = report["front"]
    assert len(front) > 3
    for point in front[:: max(1, len(front) // 6)] + front[-1:]:
        _, cost = reference.mean_pool(variant.family, tensors, config, point["labels"])
        assert point["cost"] == pytest.approx(cost["k"] + cost["v"], rel=1e-9, abs=1e-12)
        assert point["groups"] == [max(labels) + 1 for labels in point["labels"]]
    assert front[0]["kv_fraction"] == 1 and front[0]["cost"] == 0
    for larger, smaller in zip(front, front[1:]):
        assert larger["kv_heads"] > smaller["kv_heads"] and larger["cost"] < smaller["cost"]
    heads = reference.geometry(config)["kv_heads"]
    for layer in report["layers"]:
        for grouping in layer["groupings"][:: 1 if layer["layer"] == 0 else 4]:
            labels = [list(range(heads))] * config["num_hidden_layers"]
            labels[layer["layer"]] = grouping["labels"]
            _, cost = reference.mean_pool(variant.family, tensors, config, labels)
            assert grouping["cost_k"] == pytest.approx(cost["k"], rel=1e-9, abs=1e-12)
            assert grouping["cost_v"] == pytest.approx(cost["v"], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("variant", SEARCHED, ids=str)
def test_convert_takes_a_point_of_the_report(qcqa, built, searched, schema, tmp_path, variant):
    report = json.loads(searched(variant).read_text())
    source = built(variant)
    labels = qcqa.convert(source, tmp_path / "out", "--report", searched(variant), "--kv", 0.5, "--layout", "expanded")
    fits = [point for point in report["front"] if point["kv_fraction"] <= 0.5]
    assert labels == min(fits, key=lambda point: point["cost"])["labels"]
    check(json.loads((tmp_path / "out/qcqa-report.json").read_text()), schema)

    config = json.loads((source / "config.json").read_text())
    tensors, _ = reference.mean_pool(variant.family, reference.read_tensors(source), config, labels)
    expected = reference.logits_of(reference.write_like(source, tensors, tmp_path / "reference"))
    limit = 1e-4 if variant.dtype == "float32" else 5e-3
    assert reference.largest_difference(reference.logits_of(tmp_path / "out"), expected) <= limit


def test_run_searches_and_converts(qcqa, built, schema, tmp_path):
    variant = Variant(family("llama"))
    qcqa.run("run", built(variant), "--kv", 0.5, "-o", tmp_path / "out", "--population", 40, "--generations", 30, "--merge", "mean")
    check(json.loads((tmp_path / "out/qcqa-report.json").read_text()), schema)
    assert sum(max(labels) + 1 for labels in plan_labels(tmp_path / "out")) <= 12
    reference.load(tmp_path / "out")
