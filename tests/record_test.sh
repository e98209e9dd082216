#!/usr/bin/env bash
# shardscope record, as people use it: programs that know nothing of it, run under it.
#   record_test.sh SHARDSCOPE NVTX_CHECK NCCL_CHECK LIBRARY [CUDA_CHECK EMULATED_LIBRARIES]
set -uo pipefail
shardscope=$1 nvtx=$2 nccl=$3 export_library=$4 cuda=${5:-} emulated=${6:-}
run_emulated=$(realpath "$(dirname "$0")/cudasim/run")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
checks=0 failures=0

check() {  # check NAME CONDITION...
  checks=$((checks + 1))
  local name=$1
  shift
  "$@" >/dev/null 2>&1 && return
  failures=$((failures + 1))
  echo "FAILED: $name"
}
count() { "$shardscope" query "$1" "$2" --csv 2>/dev/null | tail -1; }
equals() { [[ "$1" == "$2" ]] || { echo "  '$1' is not '$2'"; return 1; }; }
refused() {  # refused NAME EXIT_CODE TEXT COMMAND...
  checks=$((checks + 1))
  local name=$1 code=$2 text=$3 said status
  shift 3
  said=$("$@" 2>&1 >/dev/null)
  status=$?
  if [[ $status -ne $code || $said != *"$text"* || $(wc -l <<<"$said") -ne 1 ]]; then
    failures=$((failures + 1))
    echo "FAILED: $name: exit $status, said: $said"
  fi
}

# Ranges of a real program.
check "record runs the program" "$shardscope" record --quiet -o run.db -- "$nvtx"
check "ranges are there" equals "$(count run.db "select count(*) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op where o.kind = 'nvtx' and o.name = 'step'")" 3
check "NCCL's sizes are there" equals "$(count run.db "select sum(o.bytes) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op where o.name = 'NCCL: ncclAllReduce'")" 28672
check "steps are found" equals "$(count run.db 'select count(*) from step')" 3
check "the folder is gone" test ! -e run.db.capture
check "report reads it" "$shardscope" report run.db
check "render draws it" "$shardscope" render run.db -o run.svg

# Its exit code is ours; a crash loses nothing.
"$shardscope" record --quiet -o crash.db -- "$nvtx" crash 2>/dev/null
check "a crash's exit code" equals $? 134
check "a crash's ranges" equals "$(count crash.db "select count(*) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op where o.name = 'half way'")" 3
"$shardscope" record --quiet -o nine.db -- "$nvtx" killed 2>/dev/null
check "kill -9 of the job: its exit code" equals $? 137
check "and its ranges" equals "$(count nine.db "select count(*) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op where o.name = 'half way'")" 3
"$shardscope" record --quiet -o seven.db -- sh -c 'exit 7' 2>/dev/null
check "an exit code" equals $? 7
check "nothing recorded, nothing left" test ! -e seven.db.capture

# Workers are part of their rank.
check "record with workers" env RANK=3 WORLD_SIZE=8 "$shardscope" record --quiet -o workers.db -- "$nvtx" workers
check "one rank" equals "$(count workers.db 'select group_concat(rank) from rank')" 3
check "three loads" equals "$(count workers.db "select count(*) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op where o.name = 'load'")" 3

# NCCL's plugin: collectives with communicator and sequence.
check "record NCCL" "$shardscope" record --quiet -o nccl.db -- "$nccl" "$export_library"
check "collectives" equals "$(count nccl.db "select count(*) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op where o.kind = 'all_reduce' and o.group_name = 'dp'")" 3
check "sequence numbers" equals "$(count nccl.db 'select group_concat(sequence) from (select sequence from collective_call where sequence is not null order by created_ns limit 3)')" '"0,1,2"'

# Killed itself, the recording can be finished by hand.
"$shardscope" record --quiet -o killed.db -- sh -c "$nvtx; kill -9 \$PPID; sleep 0.2" 2>/dev/null
check "what was recorded is there" test -d killed.db.capture
check "import finishes it" "$shardscope" import killed.db.capture/* -o killed.db
check "with all ranges" equals "$(count killed.db "select count(*) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op where o.name = 'step'")" 3

# Chosen steps, slow steps, steps by optimizers' ranges.
ops() { count "$1" "select group_concat(line, ' ') from (select o.name || ':' || count(*) || ':' || min(s.step) || '-' || max(s.step) as line from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op group by o.name order by o.name)"; }
check "record --steps" "$shardscope" record --quiet -o steps.db --steps 3-5 -- "$nvtx" steps 10
check "only these" equals "$(ops steps.db)" "forward:3:3-5 step 3:1:3-3 step 4:1:4-4 step 5:1:5-5"
check "whole" equals "$(count steps.db 'select group_concat(step) from step where dur_ns > 4000000')" '"3,4,5"'
check "what is missing is said" equals "$(count steps.db "select why from loss where what = 'steps'")" "only steps 3 to 5 were recorded"
check "record --slow-steps" "$shardscope" record --quiet -o slow.db --slow-steps 400 -- "$nvtx" steps 20
check "details of the slow one" equals "$(ops slow.db)" "forward:1:15-15 step 15:1:15-15"
check "times of all" equals "$(count slow.db 'select count(*) from step')" 20
check "the others are counted" equals "$(count slow.db "select count from loss where why like '%not slow%'")" 76
check "a budget" "$shardscope" record --quiet -o budget.db --slow-steps 0 --budget-mb 1 -- "$nvtx" flood 60000
check "is kept to" equals "$(count budget.db "select count > 10000 from loss where why like '%--budget-mb%'")" 1
check "record optimizers" "$shardscope" record --quiet -o optimizer.db -- "$nvtx" optimizer
check "their steps" equals "$(count optimizer.db 'select group_concat(step) from step')" '"1,2,3,4,5"'
check "some of them" "$shardscope" record --quiet -o optimizer2.db --steps 2-3 -- "$nvtx" optimizer
check "only these again" equals "$(ops optimizer2.db)" "DeepSpeedZeroOptimizer_Stage3.step:2:2-3 Optimizer.step#AdamW.step:4:2-3 forward:2:2-3"
refused "no such step" 0 "ended before step 3" "$shardscope" record --quiet -o nosteps.db --steps 3 -- "$nvtx" workers
refused "no steps" 1 "no steps were seen" "$shardscope" record --quiet -o nosteps.db --steps 3 -- "$nccl" "$export_library"
check "and nothing is left" test ! -e nosteps.db.capture

# Started and stopped from outside. The job waits for files, not for time.
"$shardscope" record --quiet --idle -o idle.db -- "$nvtx" follow . &
recorder=$!
until [[ -e waiting ]]; do sleep 0.01; done
check "control start" "$shardscope" record --control start -o idle.db
touch first; until [[ -e waiting2 ]]; do sleep 0.01; done
check "control stop" "$shardscope" record --control stop -o idle.db
touch second; until [[ -e waiting3 ]]; do sleep 0.01; done
check "control steps" "$shardscope" record --control steps --steps 2 -o idle.db
touch third
wait "$recorder"
check "the job's exit code" equals $? 0
check "what was asked for" equals "$(ops idle.db)" "forward:1:2-2 started:1:-1--1 step 2:1:2-2"
"$shardscope" record --quiet -o odd.db -- sh -c "echo nonsense >odd.db.capture/control; while [ -e odd.db.capture/control ]; do sleep 0.01; done; $nvtx" 2>said
check "a wish that nobody knows is said" grep -q "'nonsense' is none of" said
check "and goes no further" equals "$(count odd.db 'select count(*) from step')" 3
refused "control of nothing" 2 "no recording goes on" "$shardscope" record --control start -o nothing.db

# A flight recorder, and a hang that is told while the job hangs.
"$shardscope" record --quiet -o hang.db --ring-mb 2 --hang-seconds 0.5 -- sh -c "for r in 0 1 2; do RANK=\$r WORLD_SIZE=3 $nccl $export_library \$r 3000 & done; wait" 2>said
check "the late rank is named" grep -q "rank 1 is late: ranks 0, 2 wait in AllReduce 5 of communicator dp since .* its last is 4" said
check "the ring became a run meanwhile" equals "$(count hang.db "select group_concat(name) from run")" '"sh (hang),sh"'
check "with what came before the hang" equals "$(count hang.db "select group_concat(n) from (select count(*) as n from collective_call where run = 1 and sequence is not null group by rank order by rank)")" '"6,5,6"'
check "and after" equals "$(count hang.db "select count(*) from collective_call where run = 2 and sequence = 5")" 3
check "diagnostic says it" equals "$(count hang.db "select count(*) from diagnostic where kind = 'hang_late'")" 2
check "no false alarm" bash -c "'$shardscope' record --quiet -o calm.db --hang-seconds 20 -- '$nccl' '$export_library' 2>&1 | grep -c late | grep -qx 0"
check "a ring keeps the newest" "$shardscope" record --quiet -o ring.db --ring-mb 2 -- "$nvtx" flood 200000
check "which are counted" equals "$(count ring.db "select (select count(*) from slice) between 1000 and 60000 and (select count > 0 from loss where what = 'chunks')")" 1

# A disk that fills up while it is recorded (here: files may not grow): the job does not feel it.
bash -c "ulimit -f 6144; exec '$shardscope' record --quiet --spool-mb 1 -o full.db -- '$nvtx' flood 400000 slowly" 2>said
check "the job went on" equals $? 0
check "and it is said" grep -q "File too large; what comes after this is lost" said
check "what came before is there" equals "$(count full.db "select count(*) > 1000 from slice")" 1
# The reader, a process of its own, takes more from a job than its spool (of 18,000 records) ever holds.
check "a small spool" "$shardscope" record --quiet --spool-mb 1 -o fast.db -- "$nvtx" flood 400000 slowly
check "is emptied while the job runs" equals "$(count fast.db "select count(*) > 50000 from slice")" 1
check "two recordings at once" bash -c "'$shardscope' record --quiet -o one.db -- '$nvtx' steps 10 & '$shardscope' record --quiet -o two.db -- '$nvtx' steps 10; wait \$!"
check "one" equals "$(count one.db 'select count(*) from step')" 10
check "two" equals "$(count two.db 'select count(*) from step')" 10
check "into one profile" bash -c "'$shardscope' record --quiet -o both.db -- '$nvtx' steps 5 && '$shardscope' record --quiet -o both.db -- '$nvtx' steps 7"
check "two runs" equals "$(count both.db 'select count(distinct run) from step')" 2

# CUDA: kernels, copies and calls of an emulated device, whole and of chosen steps only.
of_kind() { count "$1" "select count(*) from slice s join rank r using (run, rank) join op o on o.program = r.program and o.op = s.op where o.kind = '$2' and s.step $3"; }
if [[ -n $emulated && -e $emulated/libcupti.so ]]; then
  export CUDASIM_LIB=$emulated
  check "record CUDA" "$shardscope" record --quiet -o cuda.db -- "$run_emulated" "$cuda" 10
  check "its kernels" equals "$(of_kind cuda.db kernel '>= 0')" 40
  check "its copies and memsets" equals "$(of_kind cuda.db copy '>= 0') $(of_kind cuda.db memset '>= 0')" "10 10"
  check "each with its launch" equals "$(count cuda.db "select value from source_count where name = 'kernels_with_launch'")" 40
  check "chosen steps of it" "$shardscope" record --quiet -o chosen.db --steps 4-6 -- "$run_emulated" "$cuda" 20 6
  check "their kernels, all" equals "$(of_kind chosen.db kernel 'between 4 and 6')" 12
  check "their copies" equals "$(of_kind chosen.db copy 'between 4 and 6')" 3
  check "and none of others" equals "$(of_kind chosen.db kernel '< 999')" 12
  check "idle until the end" "$shardscope" record --quiet --idle -o off.db -- "$run_emulated" "$cuda" 20
  check "is nothing" test ! -e off.db
fi

# What must be refused.
refused "steps that are none" 2 "given as 10-20" "$shardscope" record --steps 5-3 -o x.db -- true
refused "steps to control, unnamed" 2 "which" "$shardscope" record --control steps -o x.db
refused "a wish that is none" 2 "control" "$shardscope" record --control pause -o x.db
refused "both at once" 2 "excludes" "$shardscope" record --ring-mb 8 --slow-steps 10 -o x.db -- true
refused "a missing program" 2 "no-such-program" "$shardscope" record -o x.db -- no-such-program
check "and leaves nothing" test ! -e x.db.capture
refused "an unknown source" 2 "'everything' is none of" "$shardscope" record --what everything -o x.db -- true
refused "no command" 2 "command" "$shardscope" record -o x.db
mkdir busy.db.capture && touch busy.db.capture/1.capture
refused "an earlier recording" 2 "earlier recording" "$shardscope" record -o busy.db -- true
refused "a missing library" 2 "SHARDSCOPE_CAPTURE_LIBRARY" env SHARDSCOPE_CAPTURE_LIBRARY=/nowhere.so "$shardscope" record -o x.db -- true

echo "$checks checks, $failures failed"
[[ $failures -eq 0 ]]
