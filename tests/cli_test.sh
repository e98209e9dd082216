#!/usr/bin/env bash
# The `shardscope` command as a user meets it. Usage: cli_test.sh PATH_TO_SHARDSCOPE
# Bad input: exit code 2 (1 where the machine and not the user is at fault), one line on standard error that says where
# and what, nothing on standard output, and never a crash.
set -uo pipefail
shardscope="$1"
root="$(cd "$(dirname "$0")/.." && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
failures=0 checks=0

fail() {
  failures=$((failures + 1))
  printf 'FAIL: %s\n' "$1"
  shift
  printf '      %s\n' "$@"
}

# refuses WANTED_CODE PATTERN ARGS...: the exit code, one line on stderr that matches the pattern, empty stdout.
refuses() {
  local wanted="$1" pattern="$2" code=0 lines
  shift 2
  checks=$((checks + 1))
  timeout 60 "$shardscope" "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
  lines=$(wc -l <"$work/err")
  [[ $code -eq $wanted ]] || fail "shardscope $*" "exit code $code, not $wanted" "$(head -c 600 "$work/err")"
  [[ $lines -eq 1 ]] || fail "shardscope $*" "$lines lines on standard error, not 1" "$(head -c 600 "$work/err")"
  [[ -s $work/out ]] && fail "shardscope $*" "prints on standard output: $(head -c 300 "$work/out")"
  grep -qiE -- "$pattern" "$work/err" || fail "shardscope $*" "does not say '$pattern'" "$(head -c 600 "$work/err")"
}

refuses 2 'nosuch' nosuch
refuses 2 '.' --no-such-flag

printf '%d checks, %d failed\n' "$checks" "$failures"
[[ $failures -eq 0 ]]
