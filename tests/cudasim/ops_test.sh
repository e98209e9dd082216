#!/usr/bin/env bash
# A training run of the CUDA backend on the emulated device, recorded: every kernel, copy and collective of its steps is
# joined with the op of the program that issued it, and `shardscope ops` sets their times beside the predictions.
#   ops_test.sh SHARDSCOPE CUDASIM_LIB
set -uo pipefail
shardscope=$1 lib=$2
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
ask() { "$shardscope" query "$1" "$2" --csv | tail -n +2; }
json_ok() { python3 -c "import json, sys; d = json.load(open('$1')); sys.exit(0 if ($2) else 1)"; }

cat > model.json <<'END'
{"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 64, "n_positions": 64, "vocab_size": 256, "n_inner": 256}
END
train() { env LD_LIBRARY_PATH="$lib" LD_BIND_NOW=1 "$@"; }
job=(train --model model.json --ranks 2 --stage 2 --seq 32 --micro-batch 2 --steps 3 --backend cuda --threads 1)

joined() {  # joined NAME: of NAME.db, recorded, and NAME.train.db, which the run wrote
  local name=$1
  # One rank's steps are not over when the other's loss and norm are read: 4 bytes each.
  check "$name: all that the devices did in steps is of an op" equals \
    "$(ask "$name.db" "select count(*) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op left join op_device_work w on w.run = s.run and w.rank = s.rank and w.lane = s.lane and w.start_ns = s.start_ns where s.lane glob '*gpu* stream *' and s.step >= 0 and w.run is null and not (o.name = 'DtoH' and o.bytes = 4)")" 0
  check "$name: three steps" equals "$(ask "$name.db" "select count(distinct step) from op_device_work where step >= 0")" 3
  check "$name: kinds of ops" equals "$(ask "$name.db" "select group_concat(k, ' ') from (select distinct program_kind as k from op_device_work where k in ('load_batch', 'embedding', 'layer_norm', 'matmul', 'attention', 'attention_backward', 'cross_entropy', 'reduce_scatter', 'all_reduce', 'adam', 'all_gather') order by k)")" \
    "adam all_gather all_reduce attention attention_backward cross_entropy embedding layer_norm load_batch matmul reduce_scatter"
  check "$name: collectives are NCCL's" equals \
    "$(ask "$name.db" "select distinct o.kind from op_device_work w join rank r using (run, rank) join op o on o.program = r.program and o.op = w.op where w.program_kind = 'reduce_scatter'")" reduce_scatter
  check "$name: batches are copies" equals \
    "$(ask "$name.db" "select distinct o.kind from op_device_work w join rank r using (run, rank) join op o on o.program = r.program and o.op = w.op where w.program_kind = 'load_batch'")" copy
  check "$name: both ranks have the same ops" equals \
    "$(ask "$name.db" "select count(distinct program_rank), count(distinct program_op) * 2 - count(distinct program_rank * 100000 + program_op) from op_device_work")" 2,0
  check "$name: ops" "$shardscope" ops "$name.db" --against "$name.train.db" --json >"$name.json"
  check "$name: each was executed three times, and has both times beside it" json_ok "$name.json" \
    'len(d["ops"]) > 100 and all(o["executions"] == 3 and o["predicted_s"] > 0 and o["by_events_s"] > 0 for o in d["ops"])'
  check "$name: the sums fit" json_ok "$name.json" \
    'sum(o["work"]["count"] for o in d["ops"]) + d["of_no_op"]["count"] == d["all"]["count"] and d["of_no_op"]["count"] >= 0'
}

check "record, ranks as threads" train "$shardscope" record --quiet -o threads.db -- "$shardscope" "${job[@]}" --quiet --profile threads.train.db >/dev/null
joined threads
check "the table" bash -c "'$shardscope' ops threads.db --against threads.train.db --top 3 | grep -q 'Of no op: '"
"$shardscope" train --model model.json --ranks 2 --stage 3 --seq 32 --micro-batch 2 --steps 1 --quiet --profile other.db >/dev/null
said=$("$shardscope" ops threads.db --against other.db 2>&1)
check "another job is refused" equals "$?, $(grep -c 'is of another program' <<<"$said")" "2, 1"
if command -v mpirun >/dev/null; then
  check "record, ranks as processes" train "$shardscope" record --quiet -o processes.db -- \
    mpirun --allow-run-as-root --oversubscribe -n 2 "$shardscope" "${job[@]}" --quiet --profile processes.train.db >/dev/null
  joined processes
else
  echo "no mpirun: ranks as processes are SKIPPED"
fi
exit "$failures"
