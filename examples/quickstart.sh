#!/usr/bin/env bash
# From a fresh Debian 12 machine to a converted checkpoint: installs what is missing (and says so first), builds qcqa,
# and halves the key/value cache of the bundled example model. Run it again whenever you like: it is quick then.
#
#   examples/quickstart.sh           the bundled example model
#   examples/quickstart.sh MODEL     a Hugging Face folder of yours
set -euo pipefail
cd_from=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=examples/setup.sh
source examples/setup.sh

model=examples/model options=(--force --time-limit 2m)
if (($#)); then
  model=$(cd "$cd_from" && realpath -e -- "$1") || die "$1: no such folder"
  options=(--force)
fi
out=build/quickstart/$(basename "$model")-kv50

install_missing "${BUILD_PACKAGES[@]}"

# A build folder that is there keeps its settings; a new one builds the program only. QCQA_CMAKE_FLAGS: more of them.
read -ra flags <<<"${QCQA_CMAKE_FLAGS:-}"
[[ -e build/release/CMakeCache.txt ]] || flags+=(-DQCQA_BUILD_TESTS=OFF)
step "configure" cmake --preset release "${flags[@]}"
step "build" cmake --build --preset release --target qcqa_cli

mkdir -p build/quickstart
say
say "\$ build/release/qcqa run $model --kv 0.5 -o $out ${options[*]}"
build/release/qcqa run "$model" --kv 0.5 -o "$out" "${options[@]}"

say
say "The new checkpoint:  $PWD/$out"
say "The report:          $PWD/$out/qcqa-report.json"
say "Read it with:        build/release/qcqa report $out/qcqa-report.json"
