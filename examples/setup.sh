# shellcheck shell=bash
# Set-up shared by examples/quickstart.sh and tests/run.sh; sourced, never run.
#
#   install_missing PACKAGE...   Debian packages, only those that are missing
#   python_environment FILE      a virtual environment with the pinned packages of FILE; prints its folder
#   step NAME COMMAND...         runs a command quietly, with its time; shows its output when it fails
#
# What is built goes to build/ in the repository, what is downloaded to the cache folder
# (QCQA_CACHE, else XDG_CACHE_HOME/qcqa, else ~/.cache/qcqa).

# shellcheck disable=SC2034  # used by the scripts that source this file
BUILD_PACKAGES=(g++ cmake ninja-build libtorch-dev libopenblas0-openmp libcli11-dev nlohmann-json3-dev libpcre2-dev libutf8proc-dev
  libfmt-dev libeigen3-dev)

say() { printf '%s\n' "$*"; }
die() { printf '%s: error: %s\n' "$(basename "$0")" "$*" >&2; exit 2; }

is_installed() { [[ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]; }

install_missing() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "This is not Debian: installing nothing. Needed are its packages $*, or the same from elsewhere."
    return
  fi
  local package missing=() as_root=()
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  say "Installing with apt-get (minutes, the first time): ${missing[*]}"
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "these packages need root: run 'apt-get install ${missing[*]}' as root, then this again"
    as_root=(sudo)
  fi
  step "apt-get update" "${as_root[@]}" apt-get update
  step "apt-get install" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install --yes --no-install-recommends "${missing[@]}" </dev/null
}

LOGS=${LOGS:-build/logs}
step() {
  local name=$1 log rc=0 begin=$SECONDS
  shift
  mkdir -p "$LOGS"
  printf '  %-40s ' "$name"
  log=$LOGS/${name//[^a-zA-Z0-9]/-}.log
  "$@" >"$log" 2>&1 || rc=$?
  if ((rc == 0)); then
    printf 'ok      %4d s\n' $((SECONDS - begin))
  else
    printf 'FAILED  %4d s  (exit code %d; all output: %s)\n' $((SECONDS - begin)) "$rc" "$log"
    tail -n 80 "$log" | sed 's/^/    | /'
  fi
  return "$rc"
}

# The folder's name holds a hash of what it was made from, so a changed FILE gets a new one, and several checkouts
# share one. Prints nothing else on standard output; the log of pip goes to standard error.
python_environment() {
  local requirements=$1 python=${QCQA_PYTHON:-python3} cache key folder
  cache=${QCQA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/qcqa}
  key=$({ cat "$requirements"; "$python" -VV; } | sha256sum | cut -c1-12)
  folder=$cache/venv-$key
  mkdir -p "$cache"
  # A lock of its own: one environment may compile for minutes while another is made.
  # Chained with &&: a caller that tests the result switches `set -e` off in here.
  (
    flock 9 && {
      [[ -e $folder/complete ]] || {
        rm -rf "$folder" &&
          "$python" -m venv "$folder" >&2 &&
          "$folder/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off --retries 2 \
            --requirement "$requirements" >&2
      }
    } && touch "$folder/complete"
  ) 9>"$folder.lock" || return
  # An environment is about 6 GB: drop those that no checkout used for a month.
  find "$cache" -maxdepth 2 -path "$cache/venv-*/complete" -mtime +30 -printf '%h\0' | xargs -0 -r rm -rf
  printf '%s\n' "$folder"
}
