#!/usr/bin/env bash
# What a user gains: tokens per second of decoding at a long context, and of the largest batch that a memory budget for the
# KV cache holds, before and after conversion, side by side in llama.cpp and in transformers on the CPU.
#
#   tests/bench/serving/run.sh [CONTEXT [BUDGET_MIB]]      default: 8192 tokens, 1024 MiB
#   QCQA_BENCH_THREADS=1 ...                               where others keep the machine busy
#
# On a random model of 170M parameters, whose KV cache at that context outweighs its weights, as those of large models do.
# Needs build/release/qcqa and 3 GB of disk. The figures mean something on an idle machine only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
# shellcheck source=examples/setup.sh
source examples/setup.sh

context=${1:-8192} budget=${2:-1024}
qcqa=build/release/qcqa
folder=build/bench/serving
[[ -x $qcqa ]] || die "$qcqa is not there; build it first"
torch=$(python_environment tests/interop/requirements.txt)
llama=$(python_environment tests/interop/runtimes/llama_cpp.txt)

if [[ ! -e $folder/complete ]]; then
  rm -rf "$folder"
  mkdir -p "$folder"
  step "make the model" "$torch/bin/python" tests/bench/make_model.py "$folder/model" --shape small
  step "search equal groups" "$qcqa" search "$folder/model" -o "$folder/equal.json" --cardinality equal --strategy local
  step "search any groups" "$qcqa" search "$folder/model" -o "$folder/any.json" --strategy local
  declare -A plans=(
    [before]="--groups 32" [uniform-half]="--groups 16" [uniform-quarter]="--groups 8"
    [per-layer-half]="--report $folder/equal.json --kv 0.5" [padded-half]="--report $folder/any.json --kv 0.5"
  )
  for name in "${!plans[@]}"; do
    # shellcheck disable=SC2086  # several words each
    step "GGUF $name" "$qcqa" convert "$folder/model" ${plans[$name]} --target llama.cpp --dtype f16 -o "$folder/$name-gguf"
    # shellcheck disable=SC2086
    step "folder $name" "$qcqa" convert "$folder/model" ${plans[$name]} --target transformers --dtype f32 -o "$folder/$name"
  done
  touch "$folder/complete"
fi
names=(before uniform-half uniform-quarter per-layer-half padded-half)
say "$context tokens of context, $budget MiB of KV cache, ${QCQA_BENCH_THREADS:-$(nproc)} threads; load $(cut -d' ' -f1-3 /proc/loadavg)"
"$llama/bin/python" tests/bench/serving/decode.py llama.cpp "$context" "$budget" "${names[@]/#/$folder/}"
"$torch/bin/python" tests/bench/serving/decode.py transformers "$context" "$budget" "${names[@]/#/$folder/}"
