#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test: the release build with Debian's LibTorch, the interop tests
# against real transformers, and the same sources against the LibTorch inside the official Python torch.
#
#   tests/run.sh                everything
#   tests/run.sh release        only these of: release interop python-torch
#
# Without a package index the last two are skipped; with CI=true that is a failure. The last line counts all tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=examples/setup.sh
source examples/setup.sh

parts=("$@")
((${#parts[@]})) || parts=(release interop python-torch)
for part in "${parts[@]}"; do
  [[ $part == release || $part == interop || $part == python-torch ]] ||
    die "$part: not a part; choose from release, interop, python-torch"
done
wanted() { [[ " ${parts[*]} " == *" $1 "* ]]; }

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

# build PRESET CMAKE_OPTION...
build() {
  local preset=$1
  shift
  step "configure $preset" cmake --preset "$preset" -DQCQA_WARNINGS_AS_ERRORS=ON -DQCQA_BUILD_TESTS=ON "$@" &&
    step "build $preset" cmake --build --preset "$preset"
}

# The unit tests count themselves; what else ctest runs is counted by ctest.
run_ctest() {
  tests "unit tests $1" "build/$1/unit-tests" ctest --preset "$1" --label-regex unit --parallel "$(nproc)"
  tests "other tests $1" "$LOGS/ctest-$1" \
    ctest --preset "$1" --label-exclude unit --parallel "$(nproc)" --output-junit "$PWD/$LOGS/ctest-$1/results.xml"
}

mkdir -p "$LOGS"
install_missing "${BUILD_PACKAGES[@]}" libgtest-dev libbenchmark-dev python3 python3-venv

if wanted release || wanted interop; then
  # Benchmarks and examples are built so that they keep compiling; they are not run here.
  if build release -DQCQA_BUILD_BENCHMARKS=ON -DQCQA_BUILD_EXAMPLES=ON; then
    ! wanted release || run_ctest release
  else
    failed=$((failed + 1))
  fi
fi

if wanted interop || wanted python-torch; then
  if step "Python packages" python_environment tests/interop/requirements.txt; then
    venv=$(python_environment tests/interop/requirements.txt)
    if wanted interop && [[ -x build/release/qcqa ]]; then
      # Each runtime has an environment of its own; without one its tests are skipped, in CI they fail.
      for runtime in tests/interop/runtimes/*.txt; do
        step "Python packages $(basename "$runtime" .txt)" python_environment "$runtime" || true
      done
      tests "interop tests" "$LOGS/interop" \
        "$venv/bin/python" -m pytest tests/interop -q -p no:cacheprovider --junitxml="$LOGS/interop/results.xml"
    fi
    if wanted python-torch; then
      if build python-torch -DPython3_EXECUTABLE="$venv/bin/python"; then
        run_ctest python-torch
      else
        failed=$((failed + 1))
      fi
    fi
  elif [[ ${CI:-} == true ]]; then
    say "The pinned Python packages could not be installed; in CI that is a failure."
    failed=$((failed + 1))
  else
    say "The pinned Python packages could not be installed: skipping the interop tests and the python-torch build."
    skipped=$((skipped + 1))
  fi
fi

say "all steps took $SECONDS s"
say "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
