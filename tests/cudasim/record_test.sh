#!/usr/bin/env bash
# shardscope record on a CUDA program that runs on the emulated device: what the real capture library makes of CUPTI's buffers
# and of NCCL's plugin.  record_test.sh SHARDSCOPE CAPTURE_CHECK CUDASIM_LIB
set -uo pipefail
shardscope=$1 program=$2 lib=$3
source "$(dirname "${BASH_SOURCE[0]}")/checks.sh"
count() { "$shardscope" query run.db "$1" --csv | tail -1; }
slices() { count "select count(*) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op where $1"; }

check "record runs the program" "$shardscope" record --quiet -o run.db -- env LD_LIBRARY_PATH="$lib" LD_BIND_NOW=1 "$program"
check "kernels, twice a step on each of two devices" equals "$(slices "o.name like '%scale_kernel%'")" 20
check "copies" equals "$(slices "o.kind like 'copy%'")" 20
check "collectives on the devices, with their bytes" equals "$(slices "o.kind = 'all_reduce' and o.bytes = 40000 and s.lane like 'gpu%'")" 10
check "and in NCCL's calls" equals "$(slices "o.kind = 'all_reduce' and s.lane like 'nccl%'")" 10
check "calls of the plugin" equals "$(count "select count(*) from collective_call where sequence is not null")" 10
check "both devices, by a name that is no GPU's" equals "$(count "select count(*) from device where name = 'emulated sm_90 (no GPU)'")" 2
[[ $failures -eq 0 ]] || "$shardscope" query run.db "select o.kind, o.name, count(*) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op group by 1, 2"
exit "$failures"
