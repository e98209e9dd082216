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
says "too little memory beside the program" "are needed for cuBLAS to work in" CUDASIM_MEM_MB=20
says "and what the program takes" "at its fullest: activation" CUDASIM_MEM_MB=20
says "memory that an error of the chip spoilt" "): cudaLaunchKernel (" CUDASIM_FAIL=cudaLaunchKernel:20:214
says "and what it is" "uncorrectable ECC error" CUDASIM_FAIL=cudaLaunchKernel:20:214
says "an error that shows late" "it may be an earlier op's" CUDASIM_FAIL=cudaLaunchKernel:20:700
says "one that no call made" "cudaStreamQuery" CUDASIM_FAIL=cudaStreamQuery:3:700
says "NCCL cannot begin" "ncclCommInitRankConfig: NCCL says" CUDASIM_FAIL=ncclCommInitRankConfig:1:2
says "an error of NCCL" "ncclAllReduce: NCCL says" CUDASIM_FAIL=ncclAllReduce:1:3
says "an asynchronous error of NCCL" "NCCL says remote process exited" CUDASIM_FAIL=ncclAsync:3:6
says "a graph that cannot be made" "--no-graphs runs without" CUDASIM_FAIL=cudaGraphInstantiate:1:2
says "a graph that cannot be launched" "): cudaGraphLaunch (ops up to this one)" CUDASIM_FAIL=cudaGraphLaunch:1:1

# fp8 trains as on the CPU, and is refused in one line where the device has none.
sed 's/"n_layer": 2/"n_layer": 1/' model.json > small.json
cat > fp8.json <<< '{"model": "small.json", "deepspeed": {"train_micro_batch_size_per_gpu": 1, "bf16": {"enabled": true}}, "data": {"seq_len": 32}, "fp8": {"enabled": true}, "steps": 2, "backend": "cuda"}'
on_gpu=$("$shardscope" train fp8.json --threads 1 2>&1 | sed -n 's/^loss *//p')
on_cpu=$("$shardscope" train fp8.json --threads 1 --backend cpu 2>&1 | sed -n 's/^loss *//p')
[[ -n $on_gpu && $on_gpu == "$on_cpu" ]] || { failures=$((failures + 1)); echo "FAILED: fp8: '$on_gpu' is not '$on_cpu'"; }
refused=$(CUDASIM_COMPUTE=80 "$shardscope" train fp8.json 2>&1 >/dev/null | grep '^shardscope: ')
[[ $refused == "shardscope: "*"fp8 needs a GPU of compute capability 8.9 (Ada, Hopper) or later; GPU 0 (emulated sm_90 (no GPU)) has 8.0" ]] ||
  { failures=$((failures + 1)); echo "FAILED: fp8 on an older GPU: '$refused'"; }

# A decode step is one graph and the op that draws; the tokens are those without. Whoever watches op by op gets each op launched.
generate() { "$shardscope" generate --model small.json --prompt 'To be' --max-new-tokens 8 --temperature 0.8 --seed 3 --backend cuda --threads 1 --json "$@" 2>/dev/null; }
launches() { python3 -c 'import json, sys; d = json.load(sys.stdin); l = d.get("launches") or d["decode"]["launches"]; print(l["graphs"], l["ops"] - l["in_graphs"])'; }
tokens() { python3 -c 'import json, sys; print([s["tokens"] + s["logprobs"] for s in json.load(sys.stdin)["sequences"]])'; }
equal() { [[ -n $2 && $2 == "$3" ]] || { failures=$((failures + 1)); echo "FAILED: $1: '$2' is not '$3'"; }; }
generate >with.json; generate --no-graphs >without.json
equal "tokens with graphs and without" "$(tokens <with.json)" "$(tokens <without.json)"
equal "a decode step" "$(launches <with.json)" "1 1"
ops=$(python3 -c 'import json; print(json.load(open("without.json"))["decode"]["launches"]["ops"])')
equal "--no-graphs" "$(launches <without.json)" "0 $ops"
equal "CUDA_LAUNCH_BLOCKING" "$(CUDA_LAUNCH_BLOCKING=1 generate | launches)" "0 $ops"
equal "a recorded profile" "$(generate --profile generate.db | launches)" "0 $ops"
equal "a step of training" "$("$shardscope" train --model small.json --seq 32 --micro-batch 2 --steps 3 --backend cuda --threads 1 --json 2>/dev/null | launches | cut -d' ' -f1)" 2

# GPUs of two models work together, and one line says so.
mixed=$(CUDASIM_ODD_DEVICE=1 train 2>&1 >/dev/null)
[[ $? -eq 0 && $mixed == *"the ranks' GPUs differ: rank 0 has emulated sm_90 (no GPU), 2.0 GiB, rank 1 another"* ]] ||
  { failures=$((failures + 1)); echo "FAILED: mixed devices: '$mixed'"; }

# A rank that comes late changes nothing but the time.
loss() { train 2>&1 | sed -n 's/^loss *//p'; }
here=$(loss) late=$(CUDASIM_NCCL_SLOW=1:5 loss)
[[ -n $here && $here == "$late" ]] || { failures=$((failures + 1)); echo "FAILED: a slow rank: '$here' is not '$late'"; }

# Ranks as processes, each with its GPU, over NCCL.
if command -v mpirun >/dev/null; then
  processes=$(launch=(mpirun --allow-run-as-root --oversubscribe -n 2) && loss)
  [[ $processes == "$here" ]] || { failures=$((failures + 1)); echo "FAILED: as processes: '$processes' is not '$here'"; }

  # One of them dies, or stops answering, in the middle: the other says which, and what was done stays.
  gone() {  # gone NAME SIGNAL TEXT
    rm -rf pid.* run.db* ck weights
    export -f train
    shardscope=$shardscope mpirun --allow-run-as-root --oversubscribe -n 2 bash -c "echo \$\$ >pid.\$OMPI_COMM_WORLD_RANK; exec '$shardscope' train \
      --model model.json --ranks 2 --stage 2 --seq 32 --micro-batch 2 --steps 100000 --backend cuda --threads 1 --hang-timeout 3 \
      --profile run.db --checkpoint ck --checkpoint-every 2" >out.txt 2>&1 &
    local launcher=$! i
    for ((i = 0; i < 600; ++i)); do [[ -f ck/latest ]] && break; sleep 0.1; done
    kill "-$2" "$(cat pid.1)"
    for ((i = 0; i < 300; ++i)); do grep -q '^shardscope: ' out.txt && break; sleep 0.1; done
    kill -KILL "$(cat pid.1)" 2>/dev/null
    wait "$launcher"
    grep -q "^shardscope: rank 1: $3" out.txt || { failures=$((failures + 1)); echo "FAILED: $1: $(grep -v '^step' out.txt)"; }
    "$shardscope" query run.db "select status from run" >/dev/null && "$shardscope" weights "ck/$(cat ck/latest)" -o weights >/dev/null ||
      { failures=$((failures + 1)); echo "FAILED: $1: the profile or the checkpoint is not whole"; }
  }
  gone "a rank that dies" KILL "died (process "
  gone "a rank that stops" STOP "has not answered for"
else
  echo "no mpirun: ranks as processes are SKIPPED"
fi
exit "$failures"
