#!/usr/bin/env bash
# Speed and memory on a checkpoint of Llama-2-7B's shape, beside plain tools that move the same bytes. Not part of CI:
# the figures mean something on an idle machine only.
#
#   tests/bench/run.sh                          the whole model (13.5 GB; needs about 45 GB of disk)
#   tests/bench/run.sh --attention-only         4.3 GB (and 13 GB of disk)
#   tests/bench/run.sh --layers 4 ...           smaller
#
# Then evaluation and reconstruction beside transformers, on a random model of 1.1B parameters and on stories15M where it is.
#
# Then NSGA-II beside that of pagmo2 and of pymoo, on what of the shared data (QCQA_SHARED_DIR, else ../shared) is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=examples/setup.sh
source examples/setup.sh

name=llama-2-7b-shape
for option in "$@"; do
  name+=_${option//[^a-z0-9]/}
done
model=build/bench/$name

install_missing "${BUILD_PACKAGES[@]}" libgtest-dev libbenchmark-dev libpagmo-dev python3-numpy python3-venv
step "configure" cmake --preset release -DQCQA_BUILD_BENCHMARKS=ON
step "build" cmake --build --preset release --target qcqa_cli qcqa_bench qcqa_nsga2_bench
if [[ ! -e $model/config.json ]]; then
  rm -rf "$model.part" "$model"
  mkdir -p build/bench
  # Debian's interpreter: the one that python3-numpy is for.
  step "make the model" /usr/bin/python3 tests/bench/make_model.py "$model.part" "$@"
  mv "$model.part" "$model"
fi
say
/usr/bin/python3 tests/bench/measure.py "$model" --commit "$(git describe --always --dirty)"
# A small model, where starting counts for more than copying.
if [[ ! -e build/bench/random-135m/config.json ]]; then
  step "make the model of 135M parameters" /usr/bin/python3 tests/bench/make_model.py build/bench/random-135m --shape 135m
fi
say
/usr/bin/python3 tests/bench/measure.py build/bench/random-135m --only convert
say
build/release/tests/bench/qcqa_bench --benchmark_min_time=0.2

shared=${QCQA_SHARED_DIR:-../shared}
environment=$(python_environment tests/interop/requirements.txt)
if [[ ! -e build/bench/random-1b/config.json ]]; then
  step "make the model of 1.1B parameters" /usr/bin/python3 tests/bench/make_model.py build/bench/random-1b --shape 1b
fi
for threads in 1 "$(nproc)"; do
  say
  "$environment/bin/python" tests/bench/evaluate.py build/bench/random-1b --threads "$threads" --documents 12
  if [[ -e $shared/models/stories15M ]]; then
    "$environment/bin/python" tests/bench/evaluate.py "$shared/models/stories15M" --threads "$threads"
  fi
done
say
"$environment/bin/python" tests/bench/merge.py build/bench/random-1b --tokens 2048 --steps 3 --repeat 1
if [[ -e $shared/models/stories15M ]]; then "$environment/bin/python" tests/bench/merge.py "$shared/models/stories15M"; fi

instances=()
for instance in "$shared/data/codellama-13b-head-distances.json" "$shared/models/stories15M"; do
  if [[ -e $instance ]]; then instances+=("$instance"); else say "No $instance: NSGA-II is not compared on it."; fi
done
if ((${#instances[@]})); then
  environment=$(python_environment tests/bench/requirements.txt)
  say
  "$environment/bin/python" tests/bench/compare_nsga2.py "${instances[@]}"
fi
