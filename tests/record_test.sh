#!/usr/bin/env bash
# shardscope record, as people use it: programs that know nothing of it, run under it.
#   record_test.sh SHARDSCOPE NVTX_CHECK NCCL_CHECK LIBRARY
set -uo pipefail
shardscope=$1 nvtx=$2 nccl=$3 export_library=$4
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

# What must be refused.
refused "a missing program" 2 "no-such-program" "$shardscope" record -o x.db -- no-such-program
check "and leaves nothing" test ! -e x.db.capture
refused "an unknown source" 2 "'everything' is none of" "$shardscope" record --what everything -o x.db -- true
refused "no command" 2 "command" "$shardscope" record -o x.db
mkdir busy.db.capture && touch busy.db.capture/1.capture
refused "an earlier recording" 2 "earlier recording" "$shardscope" record -o busy.db -- true
refused "a missing library" 2 "SHARDSCOPE_CAPTURE_LIBRARY" env SHARDSCOPE_CAPTURE_LIBRARY=/nowhere.so "$shardscope" record -o x.db -- true

echo "$checks checks, $failures failed"
[[ $failures -eq 0 ]]
