"""Fixtures of the interop tests: run by tests/run.sh, or `python -m pytest tests/interop` in an environment with
requirements.txt. QCQA_BINARY names the program (default: build/release/qcqa), QCQA_SHARED a folder with real models."""

import functools
import json
import os
import pathlib
import subprocess
import warnings

import numpy
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
RUNTIMES = REPOSITORY / "tests/interop/runtimes"


class Qcqa:
    """The program under test."""

    def __init__(self, binary):
        self.binary = binary

    def run(self, *arguments, expect=0):
        command = [str(self.binary), *(str(argument) for argument in arguments)]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
        assert done.returncode == expect, (
            f"{' '.join(command)}\nexit code {done.returncode}, expected {expect}\n{done.stdout}\n{done.stderr}")
        return done

    def json(self, *arguments):
        return json.loads(self.run(*arguments).stdout)

    def convert(self, model, out, *arguments):
        """Returns the labels of every layer, as the output's own report states them."""
        self.run("convert", model, "-o", out, *arguments)
        return plan_labels(out)


def plan_labels(folder):
    report = json.loads((pathlib.Path(folder) / "qcqa-report.json").read_text())
    return [layer["labels"] for layer in report["plan"]["layers"]]


@pytest.fixture(scope="session")
def qcqa():
    binary = pathlib.Path(os.environ.get("QCQA_BINARY", REPOSITORY / "build/release/qcqa"))
    if not binary.exists():
        pytest.exit(f"{binary}: no such program; build it or set QCQA_BINARY", returncode=2)
    return Qcqa(binary.resolve())


@pytest.fixture(scope="session")
def tokenize(tmp_path_factory):
    """(model, options, texts) -> what the tokenizer makes of each. QCQA_TOKENIZE names the helper program (default:
    build/release/tests/text/qcqa_tokenize)."""
    tool = pathlib.Path(os.environ.get("QCQA_TOKENIZE", REPOSITORY / "build/release/tests/text/qcqa_tokenize"))
    if not tool.exists():
        pytest.exit(f"{tool}: no such program; build the tests or set QCQA_TOKENIZE", returncode=2)
    file = tmp_path_factory.mktemp("texts") / "texts.jsonl"

    def run(model, *options, of):
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in of))
        done = subprocess.run([str(tool), str(model), str(file), *options], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.split("\n") if line]

    return run


@pytest.fixture(scope="session")
def supported(qcqa):
    """The model types that the program has a description of."""
    found = set()
    for file in (REPOSITORY / "src/model/architectures").glob("*.json"):
        entry = json.loads(file.read_text())
        found.update(entry["model_types"] if "model_types" in entry else [entry.get("model_type", file.stem)])
    return found


@pytest.fixture(scope="session")
def built(tmp_path_factory, supported):
    """variant -> its folder; each is built once."""
    import architectures
    import transformers

    transformers.utils.logging.disable_progress_bar()
    root, folders = tmp_path_factory.mktemp("models"), {}

    def get(variant):
        if variant.family.name not in supported:
            pytest.skip(f"qcqa has no description of {variant.family.name}")
        if variant not in folders:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                folders[variant] = architectures.build(variant, root / f"{len(folders)}-{str(variant)[:200]}")
        return folders[variant]

    return get


@pytest.fixture(scope="session")
def converted(qcqa, built, tmp_path_factory):
    """(variant, groups, cardinality, layout) -> (folder, labels of every layer). Tests that look at the same
    conversion from different sides share it; they must not change the folder."""
    root, results = tmp_path_factory.mktemp("converted"), {}

    def get(variant, groups, cardinality, layout):
        key = (str(variant), groups, cardinality, layout)
        if key not in results:
            folder = root / "-".join(map(str, key))
            labels = qcqa.convert(built(variant), folder, "--groups", groups, "--cardinality", cardinality,
                                  "--layout", layout)
            results[key] = folder, labels
        return results[key]

    return get


class Runtime:
    """A serving runtime in an environment of its own. `run` hands a request to tests/interop/runtimes/run_NAME.py."""

    def __init__(self, name, environment):
        self.python, self.script = environment / "bin/python", RUNTIMES / f"run_{name}.py"

    def run(self, folder, **request):
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / "request.json", folder / "result.npz"]
        files[0].write_text(json.dumps(request))
        done = subprocess.run([str(self.python), str(self.script), *map(str, files)], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=600)
        assert done.returncode == 0, f"{self.script.name} {request.get('model')}\n{done.stdout[-4000:]}\n{done.stderr[-8000:]}"
        return dict(numpy.load(files[1]))


@pytest.fixture(scope="session")
def runtime():
    """name -> Runtime. The environment is made when it is not there yet, and kept between runs."""

    @functools.cache
    def get(name):
        make = f"source examples/setup.sh && python_environment tests/interop/runtimes/{name}.txt"
        done = subprocess.run(["bash", "-c", make], cwd=REPOSITORY, capture_output=True, text=True)
        if done.returncode != 0:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
                f"the packages of {name} could not be installed:\n{done.stderr[-2000:]}")
        return Runtime(name, pathlib.Path(done.stdout.strip()))

    return get


@pytest.fixture(scope="session")
def shared():
    """The folder with real models, or a skip: it is not part of the repository."""
    candidates = [os.environ.get("QCQA_SHARED"), REPOSITORY / "../shared"]
    for candidate in filter(None, candidates):
        if (pathlib.Path(candidate) / "models").is_dir():
            return pathlib.Path(candidate).resolve()
    pytest.skip("no shared folder with real models; set QCQA_SHARED")
