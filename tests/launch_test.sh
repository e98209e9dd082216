#!/usr/bin/env bash
# Ranks as real processes. Usage: launch_test.sh PATH_TO_SHARDSCOPE PART [PATH_TO_CORE_MPI_CHECK]
#   equal   the same losses as threads, one profile and one summary; by torchrun's variables
#   mpirun  the same under mpirun, over shared memory and MPI messages
#   faults  a rank that is killed, stopped or cannot go on: the others end, and one of them says why
#   hosts   two network namespaces as two machines
# Prints SKIPPED and ends with 77 where the machine does not allow a part.
set -uo pipefail
shardscope="$(realpath "$1")" part="$2" mpi_check="${3:+$(realpath "$3")}"
work="$(mktemp -d)"
namespaces=()
# shellcheck disable=SC2317  # called by the trap
clean_up() {
  local pid name
  for pid in "${pids[@]:-}"; do [[ -n $pid ]] && kill -KILL "$pid" 2>/dev/null; done
  for name in "${namespaces[@]:-}"; do [[ -n $name ]] && ip netns del "$name"; done
  rm -rf "$work"
}
pids=()
trap clean_up EXIT
cd "$work" || exit 1
failures=0 checks=0

fail() {
  failures=$((failures + 1))
  printf 'FAIL: %s\n' "$1"
  shift
  printf '      %s\n' "$@"
}
check() {
  checks=$((checks + 1))
  "${@:2}" >"$work/check.out" 2>&1 || fail "$1" "$(head -c 600 "$work/check.out")"
}
skip() { printf 'SKIPPED: %s\n' "$1"; exit 77; }

cat >model.json <<'END'
{"model_type": "gpt2", "vocab_size": 256, "n_embd": 32, "n_layer": 4, "n_head": 2, "n_positions": 64}
END
cat >job.json <<'END'
{"model": "model.json", "parallel": {"dp": 4}, "data": {"path": "text.txt", "seq_len": 32}, "steps": 4, "seed": 7,
 "deepspeed": {"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2, "zero_optimization": {"stage": 2}}}
END
sed 's/{"dp": 4}/{"dp": 2, "pp": 2}/; s/"stage": 2/"stage": 1/; s/"gradient_accumulation_steps": 2/"gradient_accumulation_steps": 4/' \
  job.json >pipeline.json
for i in $(seq 400); do printf 'line %d of a text to learn from, with nothing in it\n' "$i"; done >text.txt

# ---- starting ranks ----------------------------------------------------------------------------------------------------

next_port=$((20000 + RANDOM % 20000))

# start RANKS COMMAND...: a process per rank, as torchrun would; pids, out.RANK, err.RANK
start() {
  local world="$1" rank
  shift
  next_port=$((next_port + 1))
  pids=()
  for ((rank = 0; rank < world; ++rank)); do
    RANK=$rank WORLD_SIZE=$world MASTER_ADDR=${master:-127.0.0.1} MASTER_PORT=$next_port \
      ${before_rank[rank]:-} timeout -k 5 100 "$@" >"out.$rank" 2>"err.$rank" </dev/null &
    pids+=($!)
  done
}
before_rank=()

# finish: waits for all; their exit codes in `codes`
finish() {
  local pid code
  codes=()
  for pid in "${pids[@]}"; do
    code=0
    wait "$pid" || code=$?
    codes+=("$code")
  done
  pids=()
}

train() { start "$1" "$shardscope" train "${@:2}" && finish; }

losses() { grep -o '"losses":\[[^]]*\]\|"grad_norms":\[[^]]*\]' "$1"; }
same_losses() { [[ -n "$(losses "$1")" ]] && diff <(losses "$1") <(losses "$2"); }

# reports FILE...: the lines of ours on standard error, of all files together
reports() { cat "$@" | grep '^shardscope:'; }

# pid_of_rank RANK: the process itself, not the `timeout` around it
pid_of_rank() { pgrep -P "${pids[$1]}"; }

# wait_for_steps PROFILE: until rank 0 has recorded some
wait_for_steps() {
  for _ in $(seq 600); do
    sleep 0.1
    [[ "$("$shardscope" query "$1" 'select count(*) > 5 as enough from step' --json 2>/dev/null)" == *1* ]] && return 0
  done
  return 1
}

threads_and_processes_agree() { # JOB ARGS...
  "$shardscope" train "$@" --launcher threads --quiet --json >threads.json 2>threads.err
  train 4 "$@" --quiet --json
  check "$*: all ranks end well" test "${codes[*]}" = "0 0 0 0"
  check "$*: the losses of threads" same_losses threads.json out.0
  check "$*: one summary" test "$(cat out.1 out.2 out.3 err.? | wc -c)" -eq 0
}

# ---- parts -------------------------------------------------------------------------------------------------------------

part_equal() {
  for stage in 0 1 2 3; do threads_and_processes_agree job.json --stage "$stage"; done
  threads_and_processes_agree pipeline.json
  SHARDSCOPE_TRANSPORT=tcp threads_and_processes_agree job.json --stage 3
  SHARDSCOPE_TRANSPORT=tcp threads_and_processes_agree pipeline.json

  train 4 job.json --profile run.db
  check 'one summary, by rank 0' bash -c 'grep -q "^loss" out.0 && grep -q "^rank 3 .*predicted" out.0 && ! cat out.[123] err.[123] | grep .'
  check 'one profile, of one file' test "$(find . -name 'run.db*' | wc -l)" -eq 1
  check 'with all ranks, and their prediction' bash -c \
    "'$shardscope' query run.db 'select predicted, count(*) as ranks, min(finished) as whole from rank join run on run = run.id group by run.id' | grep -c ' 4 *1' | grep -q 2"
  check 'of one start' bash -c \
    "'$shardscope' query run.db 'select count(*) as late from step where run = 1 and step = 0 and start_ns > 60e9' --json | grep -q '0'"
  train 4 job.json --profile run.db --checkpoint ckpt
  check 'a second run is added' bash -c "'$shardscope' query run.db 'select count(*) as runs from run' --json | grep -q 4"
  check 'its checkpoint is complete' test -e ckpt/step-4/checkpoint.json
  "$shardscope" train job.json --steps 6 --ranks 2 --launcher threads --resume ckpt --quiet --json >resumed.json
  train 2 job.json --steps 6 --ranks 2 --resume ckpt --quiet --json
  check 'a checkpoint goes on the same in two processes and in two threads' same_losses resumed.json out.0
}

part_mpirun() {
  command -v mpirun >/dev/null || skip 'there is no mpirun'
  [[ -n $mpi_check ]] || skip 'built without MPI'
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
  export OMPI_MCA_btl_vader_single_copy_mechanism=none # containers often forbid it, and it says so on standard error
  check 'collectives over MPI messages' timeout 300 mpirun -n 3 "$mpi_check"
  local transport
  for job in job.json pipeline.json; do
    "$shardscope" train "$job" --quiet --json >threads.json
    for transport in shared mpi tcp; do
      SHARDSCOPE_TRANSPORT=$transport timeout 100 mpirun -n 4 "$shardscope" train "$job" --quiet --json >mpi.json 2>mpi.err
      check "mpirun over $transport: the losses of threads" same_losses threads.json mpi.json
      check "mpirun over $transport: one summary" test "$(grep -c losses mpi.json)" -eq 1
    done
  done
  timeout 100 mpirun -n 4 "$shardscope" train job.json --profile run.db >mpi.out 2>mpi.err
  check 'one profile with all ranks' bash -c "'$shardscope' query run.db 'select count(*) as ranks from rank where run = 1' --json | grep -q 4"
  local code=0
  timeout 100 mpirun -n 3 "$shardscope" train job.json >mpi.out 2>mpi.err || code=$?
  check 'another number of processes is refused' test "$code" -eq 2
  check 'once, with what would be right' test "$(grep -c '3 processes were started.*4 ranks.*--ranks 3' mpi.err)" -eq 1
  timeout 100 mpirun -n 4 "$shardscope" train job.json --steps 1000000 --profile killed.db >mpi.out 2>mpi.err &
  local mpirun=$!
  wait_for_steps killed.db
  kill -KILL "$(pgrep -f -- "$shardscope train job.json --steps 1000000" | tail -n 1)"
  wait "$mpirun"
  check 'a killed rank ends mpirun, and is named once' test "$(grep -c '^shardscope: rank [0-9]: died' mpi.err)" -eq 1
}

# said_once PATTERN WHAT: exactly one line among all ranks, which matches
said_once() {
  check "$2: is said once" test "$(reports err.? | wc -l)" -eq 1
  check "$2: says who and where" bash -c "cat err.? | grep -E '$1' || { cat err.?; false; }"
}
where='(in step [0-9]+: .*|between steps)'

part_faults() {
  local victim
  for victim in 2 0; do
    start 4 "$shardscope" train job.json --steps 1000000 --quiet --profile killed-$victim.db
    check 'the run gets going' wait_for_steps killed-$victim.db
    kill -KILL "$(pid_of_rank $victim)"
    finish
    check "kill -9 of rank $victim ends the others" test "$(printf '%s\n' "${codes[@]}" | sort | uniq -c | tr -s ' \n' ' ')" = ' 3 1 1 137 '
    said_once "rank $victim: died \\(process [0-9]+ on .*\\); it was last seen $where; rank.* $where" "kill -9 of rank $victim"
    check 'the profile opens, with what all had recorded' bash -c \
      "'$shardscope' query killed-$victim.db 'select count(distinct rank) as ranks from step' --json | grep -q 4"
  done

  for victim in 1 0; do
    start 4 "$shardscope" train job.json --steps 1000000 --quiet --hang-timeout 2 --profile stopped-$victim.db
    check 'the run gets going' wait_for_steps stopped-$victim.db
    local pid
    pid="$(pid_of_rank $victim)"
    kill -STOP "$pid"
    local others=("${pids[@]}") own="${pids[$victim]}"
    unset "others[$victim]"
    pids=("${others[@]}") && finish
    check "SIGSTOP of rank $victim ends the others" test "${codes[*]}" = '1 1 1'
    kill -CONT "$pid"
    pids=("$own") && finish
    check 'and, woken up, itself' test "${codes[*]}" = 1
    said_once "rank $victim: has not answered for [0-9]+ s .*; it was last seen $where; rank.* $where" "SIGSTOP of rank $victim"
  done

  # What one rank cannot do is told by rank 0, with the exit code of its kind.
  mkdir elsewhere
  cp model.json job.json elsewhere
  start 4 bash -c "[[ \$RANK == 2 ]] && cd elsewhere; exec '$shardscope' train job.json --quiet"
  finish
  check "a file that one rank lacks ends all (${codes[*]})" test "${codes[*]}" = '2 2 2 2'
  said_once 'rank 2: .*text.txt' 'a file that one rank lacks'
  train 4 no-such-job.json
  check 'a job that none can read ends all' test "${codes[*]}" = '2 2 2 2'
  said_once 'no-such-job.json' 'a job that none can read'
  train 3 job.json
  said_once '3 processes were started .*, but the job has 4 ranks: .*--ranks 3' 'another number of processes'
}

part_hosts() {
  [[ $EUID -eq 0 ]] || skip 'network namespaces need root'
  command -v ip >/dev/null || skip 'there is no ip (package iproute2)'
  local a="shardscope-a-$$" b="shardscope-b-$$"
  ip netns add "$a" 2>/dev/null || skip 'this machine allows no network namespaces'
  namespaces=("$a")
  ip netns add "$b" && namespaces+=("$b")
  ip -n "$a" link add near type veth peer name far netns "$b" 2>/dev/null || skip 'this machine allows no veth'
  ip -n "$a" addr add 10.213.7.1/24 dev near && ip -n "$b" addr add 10.213.7.2/24 dev far
  ip -n "$a" link set near up && ip -n "$b" link set far up && ip -n "$a" link set lo up && ip -n "$b" link set lo up
  export master=10.213.7.1
  before_rank=("ip netns exec $a" "ip netns exec $a" "ip netns exec $b" "ip netns exec $b")
  for stage in 1 3; do threads_and_processes_agree job.json --stage "$stage"; done
  threads_and_processes_agree pipeline.json

  # Without a route the ranks find out, name each other, and stop.
  start 4 "$shardscope" train job.json --steps 1000000 --quiet --hang-timeout 2 --profile cut.db
  check 'the run gets going' wait_for_steps cut.db
  ip -n "$a" link set near down
  finish
  check 'a cut cable ends all ranks' test "${codes[*]}" = '1 1 1 1'
  check 'a cut cable is told' bash -c "cat err.? | grep -E 'rank [0-3]: has not answered for'"
}

case "$part" in
  equal | mpirun | faults | hosts) "part_$part" ;;
  *) echo "launch_test.sh: there is no part $part" && exit 1 ;;
esac
printf '%d checks, %d failed\n' "$checks" "$failures"
[[ $failures -eq 0 ]]
