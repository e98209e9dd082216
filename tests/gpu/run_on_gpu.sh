#!/usr/bin/env bash
# Everything that only a real GPU can settle, in under ten minutes: tests/gpu/run_on_gpu.sh [-o FOLDER] [-b BUILD] [PART...]
#
# FOLDER (default gpu-report) gets report.md and what the parts wrote; BUILD (default build/release, built first where it is
# missing) holds the programs. Parts, in order, each on its own: about conformance equivalence repeat speed graphs roofline
# capture record calibrate sanitizer. Exit status 1 if one failed. What is missing here is said to be skipped, never passed.
set -uo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
out=gpu-report build=""
while getopts "o:b:" option; do
  case $option in
    o) out=$OPTARG ;;
    b) build=$OPTARG ;;
    *) sed -n 2,6p "${BASH_SOURCE[0]}"; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
if [[ -z $build ]]; then
  build=$root/build/release
  [[ -x $build/tests/cuda_test ]] || { "$root/dev" build &&
    cmake --build "$build" -j "$(nproc)" --target cuda_conformance_check cuda_test; } || exit 1
fi
mkdir -p "$out"
out=$(cd "$out" && pwd) build=$(cd "$build" && pwd)
report=$out/report.md
parts=("$@")
[[ $# -gt 0 ]] || parts=(about conformance equivalence repeat speed graphs roofline capture record calibrate sanitizer)
shardscope=$build/cli/shardscope
failed=()

say() { printf '%s\n' "$*" | tee -a "$report"; }
block() { { echo '```'; cat; echo '```'; } | tee -a "$report"; }
have() { command -v "$1" >/dev/null; }
skip() { say "SKIPPED: $*"; }

about() {
  nvidia-smi --query-gpu=name,memory.total,driver_version,clocks.max.sm,clocks.max.memory,power.limit --format=csv 2>&1 | block
  { have nvcc && nvcc --version | tail -2; date -u +"%Y-%m-%d %H:%M UTC"; nproc | sed 's/$/ CPU cores/'; } | block
}

conformance() {
  "$build/kernels/cuda_conformance_check" >"$out/conformance.txt" 2>&1
  local status=$?
  grep -c FAULT "$out/conformance.txt" >/dev/null && grep FAULT "$out/conformance.txt" | head -20 | block
  tail -1 "$out/conformance.txt" | block
  return $status
}

equivalence() {
  RC_PARAMS="${RC_PARAMS:-seed=20261124 max_success=40}" timeout 150 "$build/tests/cuda_test" >"$out/equivalence.txt" 2>&1
  local status=$?
  grep -E "^\[|Falsifiable|^- |OK, passed" "$out/equivalence.txt" | tail -15 | block
  return $status
}

sanitizer() {
  have compute-sanitizer || { skip "compute-sanitizer is not here"; return 0; }
  local tool status=0
  for tool in memcheck racecheck; do
    timeout 100 compute-sanitizer --tool $tool --error-exitcode 9 "$build/kernels/cuda_conformance_check" ${SANITIZED_CASES:-layer rms attention cross adam embedding rope} \
      >"$out/$tool.txt" 2>&1
    local code=$?
    if grep -q "Device not supported\|not supported on this" "$out/$tool.txt"; then skip "$tool refuses this device"; continue; fi
    { echo "$tool, exit status $code"; grep -E "ERROR SUMMARY|RACECHECK SUMMARY|cases ran" "$out/$tool.txt"; } | block
    [[ $code -eq 0 || $code -eq 124 ]] || status=1
    [[ $code -eq 124 ]] && say "$tool did not end in 100 s: what it had seen by then is without errors"
  done
  return $status
}

# What no small test shows: a race between streams, as one step of many that differs.
repeat() {
  local run status=0
  job repeat gpt2 1024 16 40
  for run in 1 2 3; do
    "$shardscope" train "$out/repeat.json" --quiet --json >"$out/repeat$run.json" 2>"$out/repeat.err" || { tail -1 "$out/repeat.err" | block; return 1; }
  done
  python3 - "$out" <<'END' | tee -a "$report"
import json, sys
runs = [json.load(open(f"{sys.argv[1]}/repeat{i}.json")) for i in (1, 2, 3)]
losses = [r["losses"] for r in runs]
same = losses[0] == losses[1] == losses[2]
print(f"GPT-2 124M three times 40 steps: {'the same bits' if same else 'NOT the same bits'}")
sys.exit(0 if same else 1)
END
  [[ ${PIPESTATUS[0]} -eq 0 ]]
}

job() {  # NAME MODEL SEQ MICRO_BATCH STEPS [RECOMPUTE [FP8]]
  cat >"$out/$1.json" <<END
{"model": "$2", "deepspeed": {"train_micro_batch_size_per_gpu": $4, "gradient_accumulation_steps": 1, "gradient_clipping": 1.0,
 "bf16": {"enabled": true}, "zero_optimization": {"stage": 1},
 "optimizer": {"type": "AdamW", "params": {"lr": 3e-4, "weight_decay": 0.1}}},
 "data": {"seq_len": $3}, "steps": $5, "recompute": "${6:-none}", "backend": "cuda", "fp8": {"enabled": ${7:-false}}}
END
}

train() {  # NAME ARGS...: writes NAME.out.json and says speed, MFU and the prediction
  local name=$1
  shift
  timeout 200 "$shardscope" train "$out/$name.json" --quiet --json "$@" >"$out/$name.out.json" 2>"$out/$name.err" ||
    { say "$name failed: $(tail -1 "$out/$name.err")"; return 1; }
  python3 - "$name" "$out/$name.out.json" <<'END' | tee -a "$report"
import json, sys
name, path = sys.argv[1:]
r = json.load(open(path))
mfu = f", MFU {100 * r['mfu']:.1f} %" if r.get("mfu") else ""
step, predicted = r["step_time_s"]["median"], r["predicted"]["step_time_s"]
print(f"{name}: {1e3 * step:.2f} ms a step, {r['tokens_per_s']:.0f} tokens/s{mfu}; predicted "
      f"{1e3 * predicted:.2f} ms ({100 * (predicted / step - 1):+.0f} %); "
      f"loss {r['losses'][0]:.3f} -> {r['losses'][-1]:.3f}")
END
}

speed() {
  job gpt2-124m gpt2 1024 16 20
  job llama-1b tinyllama-1.1b 2048 4 10
  train gpt2-124m && train llama-1b || return 1
  local compute
  compute=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader -i 0 | tr -d .)
  (( ${compute:-0} >= 89 )) || { say "fp8: compute capability $compute has none"; return 0; }
  job gpt2-124m-fp8 gpt2 1024 16 20 none true
  job llama-1b-fp8 tinyllama-1.1b 2048 4 10 none true
  train gpt2-124m-fp8 && train llama-1b-fp8
}

# With CUDA graphs and without, by turns: decoding one sequence, and a step of a model whose kernels are short.
graphs() {
  local model=${GRAPHS_MODEL:-gpt2} turn way flag
  job small gpt-tiny 64 8 "${GRAPHS_STEPS:-200}"
  for turn in 1 2 3; do
    for way in with without; do
      flag=$([[ $way == with ]] || echo --no-graphs)
      timeout 60 "$shardscope" generate --model "$model" --dtype bf16 --prompt-tokens 1,2,3 --max-new-tokens "${GRAPHS_TOKENS:-200}" --backend cuda --json $flag \
        >"$out/decode.$way.$turn.json" 2>"$out/graphs.err" &&
        timeout 60 "$shardscope" train "$out/small.json" --quiet --json $flag >"$out/small.$way.$turn.json" 2>"$out/graphs.err" ||
        { tail -1 "$out/graphs.err" | block; return 1; }
    done
  done
  python3 - "$out" "$model" <<'END' | tee -a "$report"
import json, statistics, sys
out, model = sys.argv[1:]
def runs(name, way): return [json.load(open(f"{out}/{name}.{way}.{turn}.json")) for turn in (1, 2, 3)]
def row(what, ms, counts):
    with_, without = (statistics.median(ms[way]) for way in ("with", "without"))
    print(f"{what}: {with_:.3f} ms with {counts['graphs']} graphs of {counts['in_graphs']} of {counts['ops']} ops, {without:.3f} ms without "
          f"({100 * (with_ / without - 1):+.1f} %; by turns: {', '.join(f'{a:.3f}/{b:.3f}' for a, b in zip(ms['with'], ms['without']))})")
ways = ("with", "without")
decode, small = ({way: runs(name, way) for way in ways} for name in ("decode", "small"))
row(f"a token of {model}", {way: [1e3 * r["decode"]["time_s"] for r in decode[way]] for way in ways}, decode["with"][0]["decode"]["launches"])
row("a step of gpt-tiny", {way: [1e3 * r["step_time_s"]["median"] for r in small[way]] for way in ways}, small["with"][0]["launches"])
same = all(r["sequences"] == decode["with"][0]["sequences"] for way in ways for r in decode[way]) and all(
    r["losses"] == small["with"][0]["losses"] for way in ways for r in small[way])
print("the same tokens and losses" if same else "NOT the same tokens or losses")
sys.exit(0 if same else 1)
END
  [[ ${PIPESTATUS[0]} -eq 0 ]]
}

roofline() {
  local name status=0
  for name in gpt2-124m llama-1b; do
    rm -f "$out/$name.db"
    [[ -f $out/$name.json ]] || { job gpt2-124m gpt2 1024 16 20; job llama-1b tinyllama-1.1b 2048 4 10; }
    train "$name" --steps 6 --profile "$out/$name.db" || { status=1; continue; }
    say "$name by op (times from events on the stream; bytes and FLOP are the least the op needs):"
    "$shardscope" report "$out/$name.db" --run 1 2>&1 | sed -n '/^Ops by time/,/^$/p' |
      head -40 | block
  done
  return $status
}

capture() {
  local library=$build/profiler/libshardscope-capture.so
  [[ -f $library ]] || { skip "no libshardscope-capture.so in $build"; return 0; }
  [[ -f $out/gpt2-124m.json ]] || job gpt2-124m gpt2 1024 16 20
  rm -f "$out/capture.db" "$out/capture.train.db"
  SHARDSCOPE_CAPTURE_LIBRARY=$library "$shardscope" record -o "$out/capture.db" -- \
    "$shardscope" train "$out/gpt2-124m.json" --quiet --json --profile "$out/capture.train.db" >"$out/capture.out.json" 2>"$out/capture.err" ||
    { say "record failed: $(tail -2 "$out/capture.err")"; return 1; }
  train gpt2-124m --no-graphs || return 1  # as it runs under record
  "$shardscope" report "$out/capture.db" --json >"$out/capture.report.json" 2>&1
  python3 - "$out" <<'END' | tee -a "$report"
import json, os, sys
out = sys.argv[1]
counts = json.load(open(f"{out}/capture.report.json"))
counts = (counts[0] if isinstance(counts, list) else counts).get("counts", {})
print("recorded: " + ", ".join(f"{k} {v}" for k, v in counts.items() if v))
recorded = json.load(open(f"{out}/capture.out.json"))["step_time_s"]["median"]
if os.path.exists(f"{out}/gpt2-124m.out.json"):
    alone = json.load(open(f"{out}/gpt2-124m.out.json"))["step_time_s"]["median"]
    print(f"step {1e3 * recorded:.2f} ms under record, {1e3 * alone:.2f} ms alone: {100 * (recorded / alone - 1):+.1f} %")
END
  "$shardscope" ops "$out/capture.db" --against "$out/capture.train.db" 2>&1 | head -50 | block
  [[ ${PIPESTATUS[0]} -eq 0 ]]
}

record() {
  python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null || { skip "PyTorch with a GPU is not here"; return 0; }
  local library=$build/profiler/libshardscope-capture.so
  rm -f "$out/torch.db"
  timeout 120 env SHARDSCOPE_CAPTURE_LIBRARY=$library "$shardscope" record -o "$out/torch.db" -- \
    python3 "$root/tests/gpu/train_job.py" 20 >"$out/torch.txt" 2>&1 || { tail -3 "$out/torch.txt" | block; return 1; }
  "$shardscope" report "$out/torch.db" 2>&1 | head -30 | block
}

calibrate() {
  [[ -f $out/gpt2-124m.db ]] || { skip "no profile to calibrate from (part roofline)"; return 0; }
  "$shardscope" calibrate --from "$out/gpt2-124m.db" -o "$out/this-gpu.json" 2>&1 | head -30 | block
  "$shardscope" compare "$out/gpt2-124m.db" 2>&1 | head -30 | block
}

: >"$report"
say "# Shardscope on a GPU"
for part in "${parts[@]}"; do
  declare -F "$part" >/dev/null || { say "no such part: $part"; exit 2; }
  start=$SECONDS
  say "" && say "## $part" && say ""
  "$part" || failed+=("$part")
  say "" && say "($((SECONDS - start)) s)"
done
say "" && say "## Outcome" && say ""
say "${#parts[@]} parts, ${#failed[@]} failed${failed[*]:+: ${failed[*]}}"
[[ ${#failed[@]} -eq 0 ]]
