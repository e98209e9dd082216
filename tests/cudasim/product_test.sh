#!/usr/bin/env bash
# The CUDA backend as a user meets it, on the emulated device. What goes wrong with GPUs is one line that says rank, op and call,
# with exit status 1; ranks as threads and as processes train alike.
#   product_test.sh SHARDSCOPE CUDASIM_LIB
set -uo pipefail
shardscope=$1
export LD_LIBRARY_PATH=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
failures=0

cat > model.json <<'END'
{"model_type": "gpt2", "n_layer": 2, "n_head": 2, "n_embd": 64, "n_positions": 64, "vocab_size": 256, "n_inner": 256}
END
launch=()
train() { "${launch[@]}" "$shardscope" train --model model.json --ranks 2 --stage 2 --seq 32 --micro-batch 2 --steps 2 --backend cuda --threads 1 "$@"; }
says() {  # says NAME TEXT VARIABLES...
  local name=$1 text=$2 said status
  shift 2
  said=$(export "$@" CUDASIM_HANG_S=30; train 2>&1 >/dev/null | grep -v '^\[cudasim\]'; exit "${PIPESTATUS[0]}")
  status=$?
  if [[ $status -eq 1 && $said == *"$text"* && $(grep -c '^shardscope: ' <<<"$said") -eq 1 ]]; then return; fi
  failures=$((failures + 1))
  echo "FAILED: $name: exit $status, said: $said"
}

says "no driver" "there is no NVIDIA driver here" CUDASIM_DRIVER=0
says "too old a driver" "the NVIDIA driver is for CUDA 12.0" CUDASIM_DRIVER=12000
says "no device" "the driver shows no GPU" CUDASIM_DEVICES=0
says "fewer devices than ranks" "Duplicate GPU detected" CUDASIM_DEVICES=1
says "too little memory" "at its fullest" CUDASIM_MEM_MB=1
says "memory that an error of the chip spoilt" "uncorrectable ECC error" CUDASIM_FAIL=cudaLaunchKernel:20:214
says "an error of NCCL" "ncclAllReduce: NCCL says" CUDASIM_FAIL=ncclAllReduce:1:3
says "an asynchronous error of NCCL" "NCCL says remote process exited" CUDASIM_FAIL=ncclAsync:3:6

# A rank that comes late changes nothing but the time.
loss() { train 2>&1 | sed -n 's/^loss *//p'; }
here=$(loss) late=$(CUDASIM_NCCL_SLOW=1:5 loss)
[[ -n $here && $here == "$late" ]] || { failures=$((failures + 1)); echo "FAILED: a slow rank: '$here' is not '$late'"; }

# Ranks as processes, each with its GPU, over NCCL.
if command -v mpirun >/dev/null; then
  processes=$(launch=(mpirun --allow-run-as-root --oversubscribe -n 2) && loss)
  [[ $processes == "$here" ]] || { failures=$((failures + 1)); echo "FAILED: as processes: '$processes' is not '$here'"; }
else
  echo "no mpirun: ranks as processes are SKIPPED"
fi
exit "$failures"
