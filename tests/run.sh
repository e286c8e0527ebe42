#!/usr/bin/env bash
# Installs what is missing, builds, and checks everything, in parts:
#
#   format         clang-format has nothing to change, the order of includes included
#   tidy           clang-tidy finds nothing (.clang-tidy), and every header compiles alone
#   release        all tests of the release build, with Debian's LibTorch
#   interop        the converted models in real transformers, llama.cpp and mlx-lm
#   python-torch   the same sources with the LibTorch inside the official Python torch, under the address and
#                  undefined-behaviour sanitizers: all tests of the library but those of the search, which is too slow then
#
#   tests/run.sh                everything
#   tests/run.sh format tidy    only these parts
#
# Without a package index tidy, interop and python-torch are skipped; with CI=true that is a failure. The last lines say
# what each part took and count all tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=examples/setup.sh
source examples/setup.sh

all_parts=(format tidy release interop python-torch)
parts=("$@")
((${#parts[@]})) || parts=("${all_parts[@]}")
for part in "${parts[@]}"; do
  [[ " ${all_parts[*]} " == *" $part "* ]] || die "$part: not a part; choose from ${all_parts[*]}"
done

passed=0 failed=0 skipped=0

# The sum of one attribute over all test suites in the JUnit files of a folder.
count_of() {
  find "$2" -name '*.xml' -exec cat {} + | tr '\n\t' '  ' | { grep -oE "<testsuite [^>]*" || true; } |
    { grep -oE " $1=\"[0-9]+\"" || true; } | tr -dc '0-9\n' | awk '{ sum += $1 } END { printf "%d", sum }'
}

# tests NAME FOLDER COMMAND...: a step that runs tests and adds what the JUnit files it leaves in FOLDER count.
tests() {
  local name=$1 junit=$2 rc=0 total bad skips
  shift 2
  rm -rf "$junit"
  mkdir -p "$junit"
  step "$name" "$@" || rc=$?
  total=$(count_of tests "$junit")
  bad=$(($(count_of failures "$junit") + $(count_of errors "$junit")))
  skips=$(($(count_of skipped "$junit") + $(count_of disabled "$junit")))
  # A runner that fails without a failing test (nothing collected, a crash at exit) still counts.
  ((rc == 0 || bad > 0)) || bad=1
  ((total > 0)) || bad=1
  printf '  %-40s %d tests, %d failed, %d skipped\n' '' "$total" "$bad" "$skips"
  passed=$((passed + (total > bad + skips ? total - bad - skips : 0)))
  failed=$((failed + bad))
  skipped=$((skipped + skips))
}

# check NAME COMMAND...: a step that is one test by itself.
check() {
  if step "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# needed NAME COMMAND...: a step without which the rest of a part makes no sense.
needed() { step "$@" || { failed=$((failed + 1)) && return 1; }; }

# build PRESET CMAKE_OPTION...
build() {
  local preset=$1
  shift
  needed "configure $preset" cmake --preset "$preset" -DQCQA_WARNINGS_AS_ERRORS=ON -DQCQA_BUILD_TESTS=ON "$@" &&
    needed "build $preset" cmake --build --preset "$preset"
}

# packages FILE: sets venv to an environment with these Python packages, or counts why there is none.
packages() {
  if step "Python packages $(basename "$1" .txt)" python_environment "$1"; then
    venv=$(python_environment "$1")
  elif [[ ${CI:-} == true ]]; then
    say "The pinned Python packages could not be installed; in CI that is a failure."
    failed=$((failed + 1))
    return 1
  else
    say "The pinned Python packages could not be installed: this part is skipped."
    skipped=$((skipped + 1))
    return 1
  fi
}

# The unit tests count themselves; what else ctest runs is counted by ctest.
run_ctest() {
  tests "unit tests $1" "build/$1/unit-tests" ctest --preset "$1" --label-regex unit --parallel "$(nproc)"
  tests "other tests $1" "$LOGS/ctest-$1" \
    ctest --preset "$1" --label-exclude unit --parallel "$(nproc)" --output-junit "$PWD/$LOGS/ctest-$1/results.xml"
}

sources() { find src include tests examples -name '*.[ch]pp' -print0; }

part_format() {
  # The version is pinned: each lays out some lines otherwise.
  check "clang-format" bash -c 'xargs -0 clang-format-14 --dry-run -Werror' < <(sources)
}

part_tidy() {
  local clang_tidy
  packages tests/tidy.txt || return 0
  needed "configure tidy" cmake --preset tidy -DQCQA_BUILD_TESTS=ON -DQCQA_BUILD_BENCHMARKS=ON -DQCQA_BUILD_EXAMPLES=ON ||
    return 0
  needed "generated sources" cmake --build --preset tidy --target qcqa_version || return 0
  # The compiler's options are GCC's, and its omp.h as well.
  clang_tidy=(-p build/tidy -quiet -extra-arg-before=-Wno-unknown-warning-option
    "-extra-arg-before=-include$PWD/tests/tidy.hpp" "-extra-arg=-idirafter$(g++ -print-file-name=include)")
  check "clang-tidy" "$venv/bin/run-clang-tidy.py" -hide-progress -clang-tidy-binary "$venv/bin/clang-tidy" "${clang_tidy[@]}"
  check "headers alone" cmake --build --preset tidy --target qcqa_headers
}

part_release() {
  # Benchmarks and examples are built so that they keep compiling; they are not run here.
  build release -DQCQA_BUILD_BENCHMARKS=ON -DQCQA_BUILD_EXAMPLES=ON && run_ctest release
}

part_interop() {
  build release -DQCQA_BUILD_BENCHMARKS=ON -DQCQA_BUILD_EXAMPLES=ON || return 0
  packages tests/interop/requirements.txt || return 0
  # Each runtime has an environment of its own; without one its tests are skipped, in CI they fail.
  for runtime in tests/interop/runtimes/*.txt; do
    step "Python packages $(basename "$runtime" .txt)" python_environment "$runtime" || true
  done
  # One thread each, as many tests as cores: what one of them runs is too small for threads to gain anything.
  tests "interop tests" "$LOGS/interop" env OMP_NUM_THREADS=1 \
    "$venv/bin/python" -m pytest tests/interop -q -p no:cacheprovider --numprocesses "$(nproc)" --dist worksteal \
    --junitxml="$LOGS/interop/results.xml"
}

part_python-torch() {
  packages tests/interop/requirements.txt || return 0
  build python-torch-asan -DPython3_EXECUTABLE="$venv/bin/python" && run_ctest python-torch-asan
}

mkdir -p "$LOGS"
install_missing "${BUILD_PACKAGES[@]}" libgtest-dev libbenchmark-dev python3 python3-venv clang-format-14

took=()
for part in "${parts[@]}"; do
  begin=$SECONDS
  "part_$part" || true
  took+=("$part $((SECONDS - begin)) s")
done

say "Time: $(printf '%s, ' "${took[@]}")all $SECONDS s"
say "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
