#!/usr/bin/env bash
# The `shardscope` command as a user meets it. Usage: cli_test.sh PATH_TO_SHARDSCOPE [PATH_TO_SHARDSCOPE_GUI]
# Bad input: exit code 2 (1 where the machine and not the user is at fault), one line on standard error that says where
# and what, nothing on standard output, and never a crash.
set -uo pipefail
shardscope="$(realpath "$1")" window="${2:+$(realpath "$2")}"
tree="$(realpath "$(dirname "$0")/..")"
work="$(mktemp -d)"
trap 'chmod -R u+rwx "$work"; rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0 checks=0

fail() {
  failures=$((failures + 1))
  printf 'FAIL: %s\n' "$1"
  shift
  printf '      %s\n' "$@"
}

# check WHAT COMMAND...: the command must succeed.
check() {
  checks=$((checks + 1))
  "${@:2}" >"$work/check.out" 2>&1 || fail "$1" "$(head -c 600 "$work/check.out")"
}

# refuses PATTERN ARGS...: exit code 2, one line on stderr that matches the pattern, empty stdout.
refuses() { refuses_with 2 "$@"; }

refuses_with() {
  local wanted="$1" pattern="$2" code=0 lines
  shift 2
  checks=$((checks + 1))
  timeout 120 "$shardscope" "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
  lines=$(wc -l <"$work/err")
  [[ $code -eq $wanted ]] || fail "shardscope $*" "exit code $code, not $wanted" "$(head -c 600 "$work/err")"
  [[ $lines -eq 1 ]] || fail "shardscope $*" "$lines lines on standard error, not 1" "$(head -c 600 "$work/err")"
  [[ -s $work/out ]] && fail "shardscope $*" "prints on standard output: $(head -c 300 "$work/out")"
  grep -qiE -- "$pattern" "$work/err" || fail "shardscope $*" "does not say '$pattern'" "$(head -c 600 "$work/err")"
}

# ---- what the tests are about -----------------------------------------------------------------------------------------

cat >model.json <<'END'
{"model_type": "gpt2", "vocab_size": 256, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
END
cat >ds.json <<'END'
{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2, "zero_optimization": {"stage": 2}}
END
cat >job.json <<'END'
{"model": "model.json", "deepspeed": "ds.json", "parallel": {"dp": 2}, "data": {"path": "text.txt", "seq_len": 32},
 "steps": 3, "seed": 7}
END
cat >cluster.json <<'END'
{"name": "one node", "nodes": 1, "devices_per_node": 2,
 "device": {"name": "a card", "memory_gib": 80, "memory_gb_per_s": 2000, "peak_tflops": {"fp32": 20, "bf16": 300}},
 "pcie": {"gb_per_s": 25, "latency_us": 5}, "intra_node": {"gb_per_s": 300, "latency_us": 2},
 "host": {"memory_gib": 512, "memory_gb_per_s": 200, "cores": 64}}
END
for i in $(seq 400); do printf 'line %d of a text to learn from, with nothing in it\n' "$i"; done >text.txt

# Files that no reader may take, whatever it reads. job.json etc. are truncated in the middle of a key.
mkdir folder
: >empty
head -c 4096 /dev/urandom >binary
truncate -s 300M enormous
printf '%0.s[' $(seq 100000) >deep
printf '{"a": 1}{"b": 2}' >two
echo '{"a": 1}' >object.json
head -c 40 model.json >cut-model
head -c 40 ds.json >cut-ds
head -c 40 cluster.json >cut-cluster
head -c 40 job.json >cut-job

# ---- the command line itself ------------------------------------------------------------------------------------------

refuses 'no command .nosuch' nosuch
refuses 'subcommand' # nothing at all
refuses 'no-such-flag' lower job.json --no-such-flag
refuses '--ranks' lower job.json --ranks many
check '--help' "$shardscope" --help
for command in breakdown calibrate check compact compare critical-path diagnose export generate hardware import lower models ops predict query report stragglers train weights; do
  check "$command has --help with examples" bash -c "'$shardscope' $command --help | grep -q 'shardscope $command'"
done

# ---- files ------------------------------------------------------------------------------------------------------------

for bad in missing empty binary enormous deep two folder; do
  refuses "$bad" lower "$bad"
  refuses "$bad" train "$bad"
  refuses "$bad" lower --model "$bad"
  refuses "$bad" lower --model model.json --deepspeed "$bad"
  refuses "$bad" check "$bad"
  refuses "$bad" predict job.json --cluster "$bad"
  refuses "$bad" predict job.json --machine "$bad"
  refuses "$bad" train job.json --machine "$bad"
  for command in breakdown critical-path diagnose report compare ops query compact stragglers; do
    [[ $command == query ]] && sql=(--limit 1 'SELECT 1') || sql=()
    refuses "$bad" "$command" "$bad" "${sql[@]}"
  done
  refuses "$bad" import "$bad" -o imported.db
done
refuses 'cut-job' lower cut-job
# Every other reader of a file names it too; whatif's did not.
for bad in missing empty binary two folder; do
  refuses "$bad" whatif "$bad" --set zero.stage=1
  refuses "$bad" whatif job.json --cluster "$bad" --set zero.stage=1
  refuses "$bad" whatif job.json --cluster dgx-a100:8 --hardware "$bad" --set zero.stage=1
  refuses "$bad" plan --model "$bad" --tokens 1B
  refuses "$bad" plan --model llama-3-8b --tokens 1B --hardware "$bad"
  refuses "$bad" models "$bad"
  refuses "$bad" validate "$bad"
  refuses "$bad" validate --constants "$bad"
  refuses "$bad" check job.json --model "$bad"
  refuses "$bad" generate --model "$bad" --prompt x
  refuses "$bad" generate --model model.json --prompt x --predict --machine "$bad"
  refuses "$bad" generate --model model.json --prompt x --predict --cluster "$bad"
  refuses "$bad" generate --model model.json --prompt x --predict --tokenizer "$bad"
  refuses "$bad" calibrate --from "$bad" -o x.json
  refuses "$bad" predict --like "$bad"
  refuses "$bad" train job.json --tokenizer "$bad"
  [[ $bad == binary ]] || refuses "$bad" train job.json --data "$bad"
done
refuses 'cut-model' lower --model cut-model
refuses 'cut-ds' lower --model model.json --deepspeed cut-ds
refuses 'cut-cluster' predict job.json --cluster cut-cluster
refuses 'missing' train job.json --data missing
refuses 'empty' train job.json --data empty
refuses 'folder' train job.json --data folder
refuses 'missing' train job.json --tokenizer missing
refuses 'binary' train job.json --tokenizer binary
printf 'too short' >short
refuses 'too few|too short' train job.json --data short

if [[ $EUID -ne 0 ]]; then # root reads everything
  for file in job.json model.json ds.json text.txt; do cp "$file" locked && chmod 000 locked && break; done
  refuses 'locked' lower locked
  refuses 'locked' lower --model locked
  refuses 'locked' train job.json --data locked
  refuses 'locked' report locked
  chmod 600 locked
fi

# ---- models by name ----------------------------------------------------------------------------------------------------

check 'a model by name' "$shardscope" lower job.json --model GPT_tiny
sed 's/"model": "model.json"/"model": "openai-community\/gpt2"/' job.json >named.json
check 'a job with a name' "$shardscope" lower named.json
# Examples are installed without the tree around them.
for example in "$tree"/docs/examples/*.json; do
  check 'an example of its own' "$shardscope" lower --rank 0 "$(cp "$example" . && basename "$example")"
done
check 'models lists' bash -c "'$shardscope' models | grep -q 'llama-2-7b *llama *6.738B *6.738B *32 *4096 *32 *32 *4096'"
check 'models shows one' bash -c "[ \$('$shardscope' models 'meta-llama/Llama-2-7b-hf' | wc -l) = 3 ]"
check 'models reads a file' bash -c "'$shardscope' models model.json --json | grep -q '\"family\":\"gpt2\"'"
refuses 'lama-2-7b.*nearest: llama-2-7b' lower job.json --model lama-2-7b
refuses 'gpt9.*neither a file nor in the catalog' models gpt9
refuses 'nosuch.json' models nosuch.json
refuses 'family deepseek_v3 .*programs are built for gpt2, llama' lower job.json --model deepseek-v3
refuses 'family gemma2 ' predict job.json --model gemma-2-9b

# ---- contradictions ---------------------------------------------------------------------------------------------------

refuses 'ranks' lower job.json --ranks 0
refuses 'ranks' train job.json --ranks -1
refuses 'stage' lower job.json --stage 4
refuses 'steps' train job.json --steps 0
refuses 'recompute.every' lower job.json --recompute full/x
refuses 'only full' lower job.json --recompute selective/2
fp8() { printf '{"model": "model.json", "deepspeed": {"train_micro_batch_size_per_gpu": 1, %s}, "data": {"path": "text.txt", "seq_len": %s}, "fp8": %s, "steps": 2}' "$@"; }
fp8 '"bf16": {"enabled": true}' 32 '{"enabled": true}' >fp8.json
check 'products in fp8' grep -q 'cast_a=e5m2 cast_b=e4m3' <("$shardscope" lower fp8.json)
check 'training in fp8' "$shardscope" train fp8.json --quiet
check 'how many products are in fp8' grep -q '^precision   bf16; in fp8 (hybrid) 24 of rank 0.s 27 matrix products' <("$shardscope" predict fp8.json)
check 'and for a GPU' grep -q '"fp8":{"format":"hybrid","products":24,"of":27}' <("$shardscope" predict fp8.json --cluster dgx-h100:1 --json)
refuses 'A100.* has no fp8' predict fp8.json --cluster dgx-a100:1
refuses 'a card has no fp8 .peak_tflops.fp8.' predict fp8.json --cluster cluster.json
fp8 '"bf16": {"enabled": true}' 32 '{"enabled": true, "format": "e5m2"}' >odd.json
refuses 'fp8.format is "e5m2"; it must be one of hybrid, e4m3' lower odd.json
fp8 '"bf16": {"enabled": true}' 32 '{"enable": true}' >odd.json
refuses 'did you mean "enabled"' lower odd.json
fp8 '"bf16": {"enabled": false}' 32 '{"enabled": true}' >odd.json
refuses 'fp8.enabled: .*set bf16.enabled' lower odd.json
fp8 '"bf16": {"enabled": true}' 24 '{"enabled": true}' >odd.json
refuses 'fp8.enabled: .*24 tokens .*multiple of 16' train odd.json
refuses 'seq' lower job.json --seq 4096
refuses 'micro' lower job.json --micro-batch 0
# A flag is complained of by its name, not as line 0 of a file.
refuses '^shardscope: --stage: .*stage is 7; it must be' train job.json --stage 7
refuses '^shardscope: --stage' lower job.json --stage -1
refuses '^shardscope: --micro-batch: ' lower job.json --micro-batch 0
refuses '^shardscope: --accumulation: ' lower job.json --accumulation -2
refuses '^shardscope: --seq' lower job.json --seq 0
refuses '^shardscope: --seq' lower job.json --seq 9999
refuses '^shardscope: --steps' lower job.json --steps 99999999999999
refuses '^shardscope: --ranks' lower job.json --ranks 99999999
refuses '^shardscope: --zero-mode: ' lower job.json --zero-mode other
refuses '^shardscope: --recompute: ' lower job.json --recompute other
refuses '^shardscope: --recompute: ' lower job.json --recompute full/0
refuses '^shardscope: --launcher: ' train job.json --launcher other
refuses '--hang-timeout: .*not be negative; see shardscope train --help' train job.json --hang-timeout -1
refuses '^shardscope: --checkpoint-keep -1' train job.json --checkpoint ck --checkpoint-keep -1

# check takes a job file too, and says what else is no ds_config.json.
check 'check reads what a job file names' bash -c "'$shardscope' check job.json | grep -q 'ds.json: nothing to report\|: '"
sed 's/"deepspeed": "ds.json"/"deepspeed": {"train_batch_size": 5}/' job.json >inline.json
refuses 'inline.json:1: deepspeed.train_batch_size is 5.*size 2' check inline.json
refuses 'model.json: is a model' check model.json
refuses 'without "deepspeed"' check <(echo '{"model": "gpt2"}')
refuses 'object.json: has no key that DeepSpeed knows' check object.json

refuses '--tp 0' generate --model model.json --prompt x --tp 0
refuses '--tp -1' generate --model model.json --prompt x --tp -1
refuses '--pue: Value nan not in range 1 to 10' plan --model llama-3-8b --tokens 1B --pue nan
refuses '--file-gb: Value nan' weights folder -o x --file-gb nan
refuses 'job.json: is a job file; --point' whatif job.json --cluster dgx-a100:8 --set zero.stage=1 --point 0
for closed in '>/dev/full' '>&-'; do
  check "a standard output that takes nothing ($closed) is said" bash -c \
    "'$shardscope' models $closed 2>full.err; [[ \$? -eq 1 && \$(wc -l <full.err) -eq 1 ]] && grep -q 'standard output' full.err"
  check "and a short one ($closed)" bash -c \
    "'$shardscope' models gpt2 --json $closed 2>full.err; [[ \$? -eq 1 && \$(wc -l <full.err) -eq 1 ]]"
done

# variant FILE NAME JQ-LIKE-SED: a copy of a file with one thing changed.
variant() { sed "$3" "$1" >"$2"; cmp -s "$1" "$2" && fail "variant $2" "changes nothing"; }
variant ds.json batch.json 's/^{/{"train_batch_size": 7, /'
refuses 'batch' lower --model model.json --deepspeed batch.json --ranks 2
variant ds.json typo.json 's/zero_optimization/zero_optimisation/'
refuses 'zero_optimization' lower --model model.json --deepspeed typo.json
variant ds.json stage.json 's/"stage": 2/"stage": "two"/'
refuses 'zero_optimization.stage' lower --model model.json --deepspeed stage.json
variant ds.json both.json 's/^{/{"fp16": {"enabled": true}, "bf16": {"enabled": true}, /'
refuses 'fp16|bf16' lower --model model.json --deepspeed both.json
variant model.json heads.json 's/"n_head": 2/"n_head": 5/'
refuses 'n_head|n_embd|hidden' lower --model heads.json
variant model.json negative.json 's/"n_layer": 2/"n_layer": -2/'
refuses 'n_layer' lower --model negative.json
variant model.json huge.json 's/"n_embd": 32/"n_embd": 99999999999999999999/'
refuses 'n_embd' lower --model huge.json
variant model.json family.json 's/gpt2/gpt9/'
refuses 'gpt2' lower --model family.json
variant cluster.json slow.json 's/"gb_per_s": 25/"gb_per_s": 0/'
refuses 'gb_per_s' predict job.json --cluster slow.json
variant cluster.json nics.json 's/"devices_per_node": 2/"devices_per_node": 2, "devices_per_nic": 3/'
refuses 'devices_per_nic is 3; it must divide the 2' predict job.json --cluster nics.json

# The hardware catalog: names, files of one's own, clusters by name.
refuses 'did you mean.*h100-sxm' hardware h100-sxn
refuses 'no system or GPU' hardware 'no such thing at all'
for bad in missing empty binary enormous deep two folder; do refuses "$bad" hardware --file "$bad"; done
echo '{"gpus": {"h100-sxm": {"usd_per_hour": -1}}}' >price.json
refuses 'price.json:1: gpus.h100-sxm.usd_per_hour is -1' hardware --file price.json
echo '{"gpus": {"h100-sxm": {"usd_per_hours": 1}}}' >price.json
refuses 'did you mean .usd_per_hour' hardware --file price.json
echo '{"gpus": {"h100-sxm": {"usd_per_hour": 1.25}}}' >price.json
check 'a file of prices' bash -c "'$shardscope' hardware h100-sxm --file price.json | grep -q 'usd_per_hour *1.25 *price.json'"
refuses 'PART.KEY=VALUE' hardware h100-sxm --set memory_gib=96
refuses 'memory_gib' hardware h100-sxm --set gpu.memory_gib=lots
refuses 'name it first' hardware --set gpu.memory_gib=96
check 'the catalog as text' bash -c "'$shardscope' hardware | grep -q gb300-nvl72"
check 'what --json prints can be read again' bash -c "'$shardscope' hardware --json >all.json &&
  '$shardscope' hardware --file all.json --json >again.json && [[ \$(wc -c <again.json) -gt 50000 ]]"
refuses 'dgx-h100' predict job.json --cluster dgx-h1000:8
refuses 'at most 8, or a multiple' predict job.json --cluster dgx-h100:12
refuses 'Write dgx-h100:8' predict job.json --cluster dgx-h100
refuses 'has 1 devices' predict job.json --cluster gh200:1
refuses '"16x" is no number of GPUs' predict job.json --cluster dgx-h100:16x
refuses 'changes nothing on cluster dgx-h100:8' predict job.json --cluster dgx-h100:8 --machine machine.json
refuses 'unit is missing' predict job.json --cluster dgx-h100:8 --device-memory 40
refuses 'below 0' predict job.json --cluster dgx-h100:8 --device-memory -4GiB
refuses 'has no experts' predict job.json --cluster dgx-h100:8 --framework megatron --expert-imbalance 2
check 'a cluster of the catalog' "$shardscope" predict job.json --cluster 'DGX H100:16'
sed 's/^{/{"cluster": "dgx-h100:16", /' job.json >with-cluster.json
check 'a cluster of the catalog in a job file' "$shardscope" predict with-cluster.json
refuses 'framework "megatrn".*megatron' predict job.json --cluster dgx-h100:8 --framework megatrn
refuses '--explain: .*add --cluster' predict job.json --explain
refuses '--framework: .*add --cluster' predict job.json --framework megatron
refuses 'no rows for --profile' predict job.json --cluster dgx-h100:8 --framework megatron --profile none.db
variant ds.json keep.json 's/^{/{"activation_checkpointing": {"cpu_checkpointing": true}, /'
refuses 'cpu_checkpointing.*recompute' lower --model model.json --deepspeed keep.json
check 'kept inputs go to the host' "$shardscope" lower --model model.json --deepspeed keep.json --recompute full/2
variant job.json key.json 's/"steps"/"stepz"/'
refuses 'steps' lower key.json
variant job.json vocabulary.json 's/"model": "model.json"/"model": {"model_type": "gpt2", "vocab_size": 16, "n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 64}/'
refuses 'vocab' train vocabulary.json
variant job.json many.json 's/"dp": 2/"dp": 2, "tp": 3/'
refuses 'tp|tensor' train many.json

# ---- ranks that share a sequence --------------------------------------------------------------------------------------

variant job.json ring.json 's/"dp": 2/"cp": 4, "ulysses": 2/'
check 'a ring of Ulysses pairs lowers, verified' bash -c "'$shardscope' lower ring.json --check >ring.out"
check 'and trains' bash -c "'$shardscope' train ring.json --quiet --json >ring.out"
refuses 'data.seq_len: is 44; 4 ranks share a sequence' lower ring.json --seq 44
variant ring.json undivided.json 's/"ulysses": 2/"ulysses": 3/'
refuses 'parallel.ulysses: is 3; it must divide the 4 shards' lower undivided.json
variant ring.json headless.json 's/"ulysses": 2/"ulysses": 4/'
refuses 'parallel.ulysses: is 4; it must divide the 2 attention heads' lower headless.json

# ---- mixture of experts -----------------------------------------------------------------------------------------------

cat >moe.json <<'END'
{"model": {"model_type": "mixtral", "vocab_size": 256, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
           "intermediate_size": 32, "max_position_embeddings": 64, "num_local_experts": 4, "num_experts_per_tok": 2},
 "deepspeed": "ds.json", "parallel": {"dp": 4, "ep": 2}, "moe": {"capacity_factor": 1.25},
 "data": {"path": "text.txt", "seq_len": 32}, "steps": 2}
END
check 'training with experts on several ranks runs' bash -c "'$shardscope' train moe.json --quiet --json >moe.out"
check 'and is predicted' bash -c "'$shardscope' predict moe.json >moe.out"
variant moe.json undivided.json 's/"ep": 2/"ep": 3/'
refuses 'parallel.ep: is 3; it must divide the data-parallel size 4' lower undivided.json
variant moe.json few.json 's/"num_local_experts": 4/"num_local_experts": 3/'
refuses 'parallel.ep: is 2; it must divide the 3 experts' lower few.json
variant moe.json choosy.json 's/"num_experts_per_tok": 2/"num_experts_per_tok": 5/'
refuses 'num_experts_per_tok is 5; there are 4 experts' lower choosy.json
variant moe.json cramped.json 's/1.25/-1/'
refuses 'moe.capacity_factor' lower cramped.json
variant moe.json factor.json 's/capacity_factor/capacity_faktor/'
refuses 'capacity_factor' lower factor.json
variant job.json dense.json 's/"dp": 2/"dp": 2, "ep": 2/'
refuses 'has no experts' lower dense.json

# ---- offload to a drive -----------------------------------------------------------------------------------------------

mkdir swap
cat >nvme.json <<'END'
{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 2, "zero_optimization": {"stage": 3,
 "sub_group_size": 5000, "offload_optimizer": {"device": "nvme", "nvme_path": "swap", "pipeline_read": true}}}
END
check 'training with the optimizer on a drive runs' bash -c \
  "'$shardscope' train job.json --deepspeed nvme.json --quiet --json >nvme.out"
check 'the swap files leave nothing behind' test -z "$(ls -A swap)"
variant nvme.json stage2.json 's/"stage": 3/"stage": 2/'
refuses 'nvme needs stage 3' lower --model model.json --deepspeed stage2.json
variant nvme.json pathless.json 's/ "nvme_path": "swap",//'
refuses 'nvme_path.*missing' lower --model model.json --deepspeed pathless.json
variant nvme.json nowhere.json 's/"nvme_path": "swap"/"nvme_path": "nowhere"/'
refuses 'nvme_path nowhere: cannot make a swap file there: No such file' train job.json --quiet --deepspeed nowhere.json
variant nvme.json proc.json 's/"nvme_path": "swap"/"nvme_path": "\/proc"/'
refuses 'nvme_path /proc: cannot make a swap file there' train job.json --quiet --deepspeed proc.json
mkdir tiny
if mount -t tmpfs -o size=100k none tiny 2>/dev/null; then # a full drive is seen before the first step
  variant nvme.json full.json 's/"nvme_path": "swap"/"nvme_path": "tiny"/'
  refuses_with 1 'nvme_path tiny: swap file of rank .: cannot take [0-9]+ bytes: No space left.*bytes are free' \
    train job.json --quiet --deepspeed full.json
  umount tiny
else
  echo 'not allowed to mount: the full drive is left out'
fi

# ---- runs that work, and how they end ---------------------------------------------------------------------------------

# values FILE JQ: needs jq or python3; without either these checks are left out, and said so.
json_ok() { python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); assert eval(sys.argv[2], {"d": d, "json": json}), d' "$@"; }
command -v python3 >/dev/null || { json_ok() { :; }; echo "no python3: JSON output is not looked into"; }

check 'train runs' bash -c "'$shardscope' train job.json --profile run.db --json >train.json 2>train.err"
check 'train --json has the documented keys' json_ok train.json \
  '{"losses", "step_time_s", "tokens_per_s", "ranks", "predicted", "profile"} <= set(d) and len(d["losses"]) == 3 and len(d["ranks"]) == 2 and {"rank", "peak_bytes", "memory_by_category", "rss_bytes"} <= set(d["ranks"][0])'
check 'memory is predicted to the byte' json_ok train.json \
  '[r["peak_bytes"] for r in d["ranks"]] == [r["peak_bytes"] for r in d["predicted"]["ranks"]]'
check 'predict runs' bash -c "'$shardscope' predict job.json --json >predict.json"
check 'predict --json has the documented keys' json_ok predict.json \
  '{"peak_bytes_per_rank", "memory_by_category", "step_time_s", "breakdown_s", "tokens_per_s", "mfu", "fits", "ranks", "model"} <= set(d)'
check 'predict --explain' bash -c "'$shardscope' predict job.json --cluster dgx-h100:8 --explain --json >explain.json"
check 'terms sum to the step, and all is said' json_ok explain.json \
  '(abs(sum(t["seconds"] for t in d["explain"]["time"]) / d["explain"]["step_time_s"] - 1) < 1e-6 and
   abs(sum(t["bytes"] for t in d["explain"]["memory"]) / d["explain"]["used_bytes"] - 1) < 1e-6 and
   all(t["text"] for t in d["explain"]["time"] + d["explain"]["memory"]) and all(c["source"] for c in d["explain"]["constants"]) and
   any((s["change"] or 0) < 0 for s in d["explain"]["sensitivities"]) and d["interval"][0] < d["interval"][1] and "difference" in d["explain"])'
check 'predict --framework has the documented keys' bash -c "'$shardscope' predict job.json --cluster dgx-h100:8 --framework megatron --json >framework.json"
check 'and the same ones' bash -c "python3 -c 'import json; a, b = (set(json.load(open(f))) for f in (\"predict.json\", \"framework.json\")); assert a <= b, a - b' || ! command -v python3"
check 'predict --explain as text' bash -c "'$shardscope' predict job.json --cluster dgx-h100:8 --explain | grep -q 'matrix products .* of the fp32 peak'"
check 'compare runs' bash -c "'$shardscope' compare run.db --json >compare.json"
check 'the profile has the run and its prediction' json_ok compare.json 'len(d["runs"]) == 2'
check 'report runs' "$shardscope" report run.db
# Traces of other programs.
cat >trace.json <<'END'
{"schemaVersion": 1, "traceEvents": [
{"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 10, "tid": 11, "ts": 112, "dur": 4, "args": {"correlation": 7}},
{"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": 210.001, "dur": 40.5, "args": {"device": 0, "stream": 7, "correlation": 7}}
], "distributedInfo": {"rank": 3, "world_size": 8}, "baseTimeNanoseconds": 1700000000000000000}
END
head -c 300 trace.json >cut.json
refuses 'there is no format' import trace.json -o imported.db --format nothing
refuses 'job.json.*JSON of another kind' import job.json -o imported.db
refuses 'Shardscope profile already' import run.db -o imported.db
refuses '-o must name another' import trace.json -o trace.json
refuses '--out' import trace.json
check 'nothing is left of what was refused' test ! -e imported.db
check 'import' "$shardscope" import trace.json -o imported.db
check 'report of an imported run' bash -c "'$shardscope' report imported.db --json >imported.json"
check 'has the keys of the contract' json_ok imported.json \
  'd["source"]["format"] == "kineto" and d["rank"] == 3 and d["world"] == 8 and d["counts"]["kernels"] == 1 and d["counts"]["kernel_dur_ns"] == 40500'
check 'null is what a format cannot have' json_ok imported.json \
  'd["counts"]["kernels_with_launch"] == 1 and d["counts"]["segments"] is None and d["memory"]["peak_traced_bytes"] is None'
check 'times are exact' json_ok imported.json 'd["first_ns"] == 112000 and d["last_ns"] == 250501 and d["diagnostics"] == []'

# Out again, and back.
refuses "no format 'svg' to export; there are perfetto, csv" export imported.db --format svg -o refused.json
refuses 'slices.txt.*--format takes perfetto, csv' export imported.db -o slices.txt
refuses '--out' export imported.db --format csv
refuses "has no run 'other'" export imported.db --run other --format csv -o refused.json
refuses 'is the profile itself' export imported.db --format csv -o ./imported.db
refuses 'nowhere/out.*cannot be opened' export imported.db --format csv -o nowhere/out
refuses 'cannot be opened' export imported.db --format csv -o folder
for bad in missing empty binary two; do
  refuses "$bad" export "$bad" --format perfetto -o refused.json
done
check 'nothing is left of what was refused' test ! -e refused.json
check 'export' "$shardscope" export imported.db --format perfetto -o exported.json
check 'is JSON' python3 -m json.tool exported.json
check 'and back' "$shardscope" import exported.json -o again.db
check 'with the same slices' bash -c "sql='SELECT rank, lane, step, start_ns, dur_ns, correlation FROM slice ORDER BY 1, 2, 4'
  diff <('$shardscope' query imported.db \"\$sql\" --csv) <('$shardscope' query again.db \"\$sql\" --csv) >&2"
check 'a recorded run, all ranks and steps' bash -c "'$shardscope' export run.db --format perfetto -o run.json && '$shardscope' import run.json -o again.db --name back
  sql='SELECT s.rank, s.lane, o.kind, o.name, s.step, s.start_ns, s.dur_ns FROM slice s JOIN rank k USING (run, rank) JOIN op o USING (program, op) WHERE run ='
  diff <('$shardscope' query run.db \"\$sql (SELECT min(id) FROM run WHERE predicted = 0) ORDER BY 1, 2, 6, 7, 3, 4\" --csv --limit 0) \\
    <('$shardscope' query again.db \"\$sql 2 ORDER BY 1, 2, 6, 7, 3, 4\" --csv --limit 0) >&2"
check 'csv' "$shardscope" export run.db --format csv -o slices.csv
check 'has a row for each slice' bash -c "test \$('$shardscope' query run.db 'SELECT count(*) FROM slice WHERE run = (SELECT min(id) FROM run WHERE predicted = 0)' --csv | tail -1) = \$((\$(wc -l <slices.csv) - 1))"

# A step as Chakra's execution traces, one a rank, and back.
refuses 'step is for chakra' export run.db --format csv --step 1 -o refused.csv
refuses 'no step 99' export run.db --format chakra --step 99 -o refused
check 'nothing is left of a step that is not there' test ! -e refused.0.et
check 'chakra' "$shardscope" export run.db --format chakra --step 1 -o replay
check 'with the groups of ranks' bash -c "python3 -c 'import json; assert [0, 1] in json.load(open(\"replay.comm_groups.json\")).values()'"
check 'a step comes back' bash -c "'$shardscope' import replay.0.et replay.1.et -o replayed.db
  sql='SELECT s.rank, s.lane, o.kind, o.name, s.dur_ns FROM slice s JOIN rank k USING (run, rank) JOIN op o USING (program, op) WHERE s.step = 1 AND run ='
  diff <('$shardscope' query run.db \"\$sql (SELECT min(id) FROM run WHERE predicted = 0) ORDER BY 1, 2, 3, 4, 5\" --csv --limit 0) \\
    <('$shardscope' query replayed.db \"\$sql 1 ORDER BY 1, 2, 3, 4, 5\" --csv --limit 0) >&2"
printf 'time (ms) | nothing [Rank 0]\n' >log.txt
refuses 'none of DeepSpeed' import log.txt -o imported2.db
printf '{"schema": "1.1.0", "nodes": [], "rf_id": 0}' >et.json
refuses 'without a node' import et.json -o imported2.db
refuses 'not a Chakra' import --format chakra binary -o imported2.db
check 'and nothing was made' test ! -e imported2.db

check 'a cut file gives what comes before' "$shardscope" import cut.json -o cut.db
check 'and says so' bash -c "'$shardscope' report cut.db | grep -q 'ends in the middle'"
check 'compact works on a copy' bash -c "cp run.db packed.db && '$shardscope' compact packed.db"
check 'and a packed profile has the same slices' bash -c "sql='SELECT rank, lane, op, start_ns, dur_ns FROM slice ORDER BY 1, 2, 4, 3'
  diff <('$shardscope' query run.db \"\$sql\" --csv --limit 0) <('$shardscope' query packed.db \"\$sql\" --csv --limit 0) >&2"
check 'query runs' "$shardscope" query run.db 'select * from step_breakdown'
refuses 'nowhere' query run.db 'select nosuch from nowhere'
refuses 'only SELECT' query run.db 'delete from run'
refuses 'no-such-run' report run.db --run no-such-run
refuses 'give --profile' train job.json --counters
check 'counters' bash -c "'$shardscope' train job.json --profile counted.db --counters --threads 1 >counted.out"
check 'of each op, if anything may be counted here' bash -c "'$shardscope' query counted.db \"SELECT sum(c.value) FROM op_counter c JOIN rank k USING (run, rank) JOIN op o USING (program, op) WHERE o.kind = 'matmul' AND c.name = 'cpu_ns'\" --csv >counted.csv
  grep -q 'no .*cpu_ns' counted.out || test \"\$(tail -1 counted.csv)\" -gt 0"
# Clocks and stragglers. Ranks of one machine share a clock; one of them is then set 5 ms ahead.
refuses 'no-such-run' stragglers run.db --run no-such-run
check 'a profile of two runs' bash -c "'$shardscope' import trace.json -o runs.db --name a && '$shardscope' import trace.json -o runs.db --name b"
refuses 'choose one with --run' stragglers runs.db
refuses 'no-such-flag' stragglers run.db --no-such-flag
check 'stragglers runs' bash -c "'$shardscope' stragglers run.db | grep -q 'as recorded'"
check 'stragglers --json' bash -c "'$shardscope' stragglers run.db --json >stragglers.json"
# The bound holds between the first and the last collective: not at time 0, to which a drift of a short run leads far.
mid=$("$shardscope" query run.db 'SELECT (min(s.start_ns) + max(s.start_ns)) / 2 FROM slice s JOIN rank k USING (run, rank)
  JOIN op o USING (program, op) WHERE s.run = 1 AND s.rank = 1 AND o.communication = 1' --csv | tail -1)
check 'clocks that are the same are within the bound' json_ok stragglers.json \
  "len(d['clocks']) == 2 and all(c['may_be_same'] and abs(c['offset_ns'] + c['drift_ppm'] * 1e-6 * $mid) <= c['error_ns'] for c in d['clocks']) and d['unmatched'] == 0 and d['remarks'] == []"
check 'ranks in groups of one name' bash -c "sed 's/\"dp\": 2/\"dp\": 2, \"tp\": 2/' job.json >tp.json && '$shardscope' train tp.json --profile tp.db && '$shardscope' stragglers tp.db --json >tp.json.out"
check 'are told apart' json_ok tp.json.out 'len(d["clocks"]) == 4 and d["collectives"] > 0 and d["unmatched"] == 0 and {g["group"] for g in d["groups"]} >= {"dp", "tp"}'
check 'every collective has ranks that wait and move' json_ok stragglers.json \
  'len(d["stragglers"]) == 2 and sum(s["last"] for s in d["stragglers"]) <= sum(g["calls"] for g in d["groups"]) and sum(s["waits_ns"] for s in d["stragglers"]) == sum(g["waits_ns"] for g in d["groups"])'
if command -v python3 >/dev/null; then
  cp run.db ahead.db
  python3 -c 'import sqlite3; c = sqlite3.connect("ahead.db"); c.execute("UPDATE slice_chunk SET start_ns = start_ns + 5000000, end_ns = end_ns + 5000000 WHERE track IN (SELECT id FROM track WHERE rank = 1)"); c.commit()'
  check 'stragglers of shifted ranks' bash -c "'$shardscope' stragglers ahead.db --json >ahead.json"
  check 'a clock that is ahead is found' json_ok ahead.json \
    "abs(d['clocks'][1]['offset_ns'] + d['clocks'][1]['drift_ppm'] * 1e-6 * ($mid + 5e6) + 5e6) <= d['clocks'][1]['error_ns'] and not d['clocks'][1]['may_be_same']"
fi
check 'one rank waits for none' bash -c "'$shardscope' stragglers imported.db | grep -q 'one rank: none waits'"

# Where the time goes, to the nanosecond.
refuses 'no-such-run' breakdown run.db --run no-such-run
refuses 'no step 99' breakdown run.db --step 99
refuses 'a rank 7' breakdown run.db --rank 7
refuses 'rank' breakdown run.db --rank -1
check 'breakdown' bash -c "'$shardscope' breakdown run.db | grep -q 'step .*100.0 %'"
check 'breakdown --json' bash -c "'$shardscope' breakdown run.db --json >breakdown.json"
check 'parts add up to every step' json_ok breakdown.json \
  'len(d["steps"]) == 6 and all(sum(s["parts_ns"].values()) == s["dur_ns"] for s in d["steps"]) and abs(sum(d["mean"]["shares"].values()) - 1) < 1e-9'
check 'and memory to its peak' json_ok breakdown.json 'sum(d["memory"]["by_category"].values()) == d["memory"]["peak_bytes"]'
check 'breakdown of an imported run' bash -c "'$shardscope' breakdown imported.db --json >breakdown.json"
check 'without marks it is one step' json_ok breakdown.json 'd["steps_from"] == "whole" and d["mean"]["shares"]["compute"] == 1 and d["memory"] is None'

# What made a step as long as it was.
refuses 'no step 99' critical-path run.db --step 99
refuses 'no-such-run' critical-path run.db --run no-such-run
refuses '--tf32: only --backend cuda' train job.json --tf32
refuses '--no-graphs: only --backend cuda' train job.json --no-graphs
refuses 'record a run of our CUDA backend' ops run.db
refuses 'no-such-run' ops run.db --run no-such-run
check 'critical-path' bash -c "'$shardscope' critical-path run.db | grep -q 'step .*100.0 %'"
check 'critical-path --json' bash -c "'$shardscope' critical-path run.db --json >path.json"
check 'the path is as long as the step' json_ok path.json \
  'sum(s["dur_ns"] for s in d["segments"]) == d["dur_ns"] == sum(d["parts_ns"].values()) == sum(r["ns"] for r in d["ranks"])'
check 'of an imported run' "$shardscope" critical-path imported.db

# What is wrong, and what would help.
refuses 'no-such-run' diagnose run.db --run no-such-run
refuses 'top' diagnose run.db --top -1
check 'diagnose' bash -c "'$shardscope' diagnose run.db | grep -q 'a step of'"
check 'diagnose --json' bash -c "'$shardscope' diagnose run.db --json >diagnose.json"
check 'most costly first' json_ok diagnose.json \
  '[f["cost_s"] for f in d["findings"]] == sorted([f["cost_s"] for f in d["findings"]], reverse=True) and all(f["what"] and f["advice"] for f in d["findings"])'
check 'our own runs are simulated' json_ok diagnose.json \
  'all(w["by"] in ("simulator", "replay") for f in d["findings"] for w in f["what_if"])'
check 'diagnose without what-if' bash -c "! '$shardscope' diagnose run.db --no-what-if | grep -q '=>'"
check 'diagnose of an imported run' "$shardscope" diagnose imported.db

# Two runs whose ops have no names in common.
refuses 'no-such-run' compare run.db --work --against no-such-run
refuses 'no other run' compare imported.db --work
check 'compare of an imported run and one of ours' bash -c "'$shardscope' compare imported.db run.db --work --json >work.json"
check 'parts add up to the steps' json_ok work.json \
  'abs(sum(p["a_s"] for p in d["work"]["parts"]) - d["work"]["a_step_s"]) < 1e-9 and abs(sum(p["b_s"] for p in d["work"]["parts"]) - d["work"]["b_step_s"]) < 1e-9'
check 'as text' bash -c "'$shardscope' compare imported.db run.db --work | grep -q 'matrix products'"
check 'what is not known is no number' bash -c "! '$shardscope' compare imported.db run.db --work | grep -q nan"

# A view as a picture; needs Qt, as the window does.
if [[ -n $window ]]; then
  check 'render --help has examples' bash -c "'$shardscope' render --help | grep -q 'shardscope render'"
  echo '{"window_ns": [0, 1000000], "expanded": [0], "pinned": [1], "dark": true}' >state.json
  check 'render draws a PNG' "$shardscope" render run.db -o view.png
  check 'which is one' bash -c "head -c 8 view.png | grep -q PNG"
  check 'the same again' bash -c "'$shardscope' render run.db -o again.png && cmp view.png again.png"
  check 'render draws an SVG' "$shardscope" render run.db --run 2 --state state.json --size 900x500 -o view.svg
  check 'with the names of the rows' grep -q 'rank 1<' view.svg
  check 'render draws a PDF' "$shardscope" render run.db --view timeline --dark -o view.pdf
  check 'which is one too' bash -c "head -c 5 view.pdf | grep -q '%PDF-'"
  for view in compare waterfall scatter; do
    check "render draws the view $view" "$shardscope" render run.db --view $view --run 1 -o $view.svg
    echo '{"zoom": 2}' >pair_state.json
    refuses "pair_state.json: zoom.*$view" render run.db --view $view --run 1 --state pair_state.json -o x.png
  done
  check 'a waterfall says what takes longer' grep -q 'exposed communication' waterfall.svg
  echo '{"mode": "stages"}' >stages.json
  check 'render draws runs side by side' "$shardscope" render run.db --view compare --state stages.json -o stages.svg
  echo '{"mode": "predicted stages"}' >stages.json
  check 'and the stages that a run could have had' "$shardscope" render run.db --view compare --run 1 --state stages.json -o stages.svg
  check 'with offload' grep -q 'ZeRO-3 + offload' stages.svg
  echo '{"against": "no-such-run"}' >against.json
  refuses 'no-such-run' render run.db --view waterfall --state against.json -o x.png
  echo '{"mode": "three"}' >mode.json
  refuses "mode is 'three'.*pair" render run.db --view compare --state mode.json -o x.png
  echo '{"ranks": "one", "rank": 1, "limit_bytes": 1000, "cursor": {"rank": 1, "time_ns": 5}}' >memory_state.json
  check 'render draws memory' "$shardscope" render run.db --view memory --state memory_state.json --size 1200x600 -o memory.svg
  check 'with the limit' grep -q '>limit 1000 B' memory.svg
  echo '{"space": "attic"}' >bad_memory.json
  refuses "bad_memory.json: space is 'attic'" render run.db --view memory --state bad_memory.json -o x.png
  refuses "no view 'tables'" render run.db --view tables -o x.png
  refuses 'without a profile' render run.db --view plan -o x.png
  refuses 'of a profile' render --view timeline -o x.png
  echo '{"model": "gpt2", "tokens": 1e9, "max_gpus": 16, "zero": 1}' >plan_state.json
  check 'render draws a plan' "$shardscope" render --view plan --state plan_state.json --size 1200x600 -o plan.png
  check 'and as SVG' bash -c "'$shardscope' render --view plan --state plan_state.json -o plan.svg && grep -q 'ZeRO 1' plan.svg"
  echo '{"model": "gpt2", "zero": 4}' >bad_plan.json
  refuses 'bad_plan.json.*zero' render --view plan --state bad_plan.json -o x.png
  echo '{"model": "no-such-model"}' >bad_plan.json
  refuses 'no-such-model' render --view plan --state bad_plan.json -o x.png
  echo '{"hardware": "none.json"}' >bad_plan.json
  refuses 'none.json' render --view plan --state bad_plan.json -o x.png
  for size in 0x0 900 900x 1600x900x3 -5x900 99999x900 widexhigh; do
    refuses "'$size'.*WIDTHxHEIGHT" render run.db --size="$size" -o x.png
  done
  refuses 'x.gif.*png' render run.db -o x.gif
  refuses 'out' render run.db
  refuses 'no-such-run' render run.db --run no-such-run -o x.png
  for bad in missing empty binary folder; do refuses "$bad" render "$bad" -o x.png; done
  for bad in missing empty binary; do refuses "$bad" render run.db --state "$bad" -o x.png; done
  echo '{"zoom": 2}' >bad_state.json
  refuses 'bad_state.json: zoom' render run.db --state bad_state.json -o x.png
  for format in png svg pdf; do refuses_with 1 "no/folder.$format" render run.db -o "no/folder.$format"; done
  check 'a refusal draws nothing' test ! -e x.png
fi

# A machine fitted to a run, and "this run, but with ...".
check 'calibrate --from runs' bash -c "'$shardscope' calibrate --from run.db -o fitted.json --json >from.json"
check 'calibrate --from shows every fit' json_ok from.json \
  'len(d["fits"]) > 8 and all(f["sizes"] > 0 and f["seconds"] > 0 and {"median", "p90"} <= set(f["after"]) for f in d["fits"])'
check 'the fit is nearer to the run, or as near as a small run is to itself' json_ok from.json \
  '(lambda e: abs(e(d["predicted_step_time_s"]["after"])) < max(0.7, abs(e(d["predicted_step_time_s"]["before"]))))(lambda t: __import__("math").log(t / d["measured_step_time_s"]))'
check 'a fitted machine predicts' bash -c "'$shardscope' predict job.json --machine fitted.json --json >fitted.out"
check 'and says what it is of' json_ok fitted.out 'd["calibrated"] and "run zero-2 of run.db" in d["source"]'
check 'a fitted machine is a base' "$shardscope" calibrate --from run.db --base fitted.json -o again.json
check 'predict --like runs' bash -c "'$shardscope' predict --like run.db --json >like.json"
check 'its own run is not changed' json_ok like.json 'd["changed"] is None and d["not_seen"] == []'
check 'predict --like says what would fit' bash -c "'$shardscope' predict --like run.db --set device_memory=700000 --json >like_tight.json"
check 'each of them fits' json_ok like_tight.json \
  'not d["fits"] and d["suggestions"] and all(s["device_peak_bytes"] <= 700000 for s in d["suggestions"])'
check 'memory of its own run is exact' json_ok like.json 'd["measured"]["peak_bytes"] == d["predicted"]["peak_bytes"] > 0'
for ranks in 1 2 4; do
  for stage in 0 3; do
    check "$ranks ranks train" "$shardscope" train job.json --ranks $ranks --stage $stage --steps 16 --profile own.db \
      --name "own-$ranks-$stage" --quiet
    check "$ranks ranks under ZeRO $stage are predicted like themselves" bash -c \
      "'$shardscope' predict --like own.db --run own-$ranks-$stage --json >own.json"
    # The step is scaled to the measured one; by how much is the scheduler's, for steps of a millisecond.
    check 'as long as they took' json_ok own.json \
      'abs(d["predicted"]["step_time_s"] / d["measured"]["step_time_s"] - 1) < 0.25 and d["scale"] > 0'
  done
done
check 'predict --like --set runs' bash -c \
  "'$shardscope' predict --like run.db --set zero.stage=3 --set parallel.dp=4 --set micro_batch=1 --json >like.json"
check 'what changed is predicted' json_ok like.json \
  'd["changed"]["peak_bytes"] != d["predicted"]["peak_bytes"] and any("all_gather" in m for m in d["not_seen"])'
check 'it says where the run was measured' json_ok like.json 'd["measured_on"]["cores"] >= 1 and d["measured_on"]["processor"] and 0 <= d["turns"] <= 1'
check 'a run keeps the machine file that it was made with' bash -c "'$shardscope' train job.json --steps 2 --machine fitted.json --profile kept.db --quiet >/dev/null &&
  '$shardscope' predict --like kept.db | grep -q 'what it did not show: run zero-2 of run.db'"
check 'a run on cores names no cluster that it did not run on' bash -c "'$shardscope' train with-cluster.json --steps 2 --backend cpu --profile cores.db --quiet >/dev/null &&
  python3 -c 'import json, sqlite3; assert [json.loads(job).get(\"cluster\", \"\") for job, in sqlite3.connect(\"cores.db\").execute(\"SELECT job_json FROM run\")] == [\"\", \"\"]'"
sed 's/"cores": *[0-9]*/"cores": 63/' fitted.json >other.json
refuses '63 cores' predict --like run.db --machine other.json
check 'predict --like in text' bash -c "'$shardscope' predict --like run.db --set seq=16 | grep -q 'compute.*%'"
refuses 'no-such-run' calibrate --from run.db --run no-such-run -o none.json
refuses 'run 2 .*predicted' calibrate --from run.db --run 2 -o none.json
refuses 'binary' calibrate --from binary -o none.json
refuses 'missing.db' calibrate --from missing.db -o none.json
refuses 'empty' calibrate --from empty -o none.json
refuses 'from|excludes' calibrate --from run.db --cores 2 -o none.json
refuses 'from|requires' calibrate --base fitted.json -o none.json
check 'a prediction alone' "$shardscope" predict job.json --profile only.db
refuses 'only predicted runs' calibrate --from only.db -o none.json
refuses 'only predicted runs' predict --like only.db
refuses 'did you mean .zero.stage' predict --like run.db --set zero.stag=3
refuses 'KEY=VALUE' predict --like run.db --set zero.stage
refuses 'stage' predict --like run.db --set zero.stage=9
refuses 'parallel.dq' predict --like run.db --set parallel.dq=2
refuses 'do not divide' predict --like run.db --set tp=7
refuses 'like' predict job.json --set zero.stage=3
refuses 'like|job' predict job.json --like run.db
refuses 'cluster' predict --like run.db --cluster dgx-a100:8
refuses 'explain.*like|like.*explain' predict --like run.db --explain
refuses 'expert-imbalance' predict job.json --cluster dgx-h100:8 --framework megatron --expert-imbalance 0.5
refuses 'expert-imbalance.*framework' predict job.json --cluster dgx-h100:8 --expert-imbalance 2
refuses 'expert-imbalance' plan --model mixtral-8x7b --tokens 1B --expert-imbalance 0
check 'a plan of a mixture says how its experts are routed' bash -c "'$shardscope' plan --model mixtral-8x7b --tokens 1B --gpus dgx-h100:16 | grep -q 'routed evenly'"
refuses 'framework.*like|like.*framework' predict --like run.db --framework megatron
refuses 'binary' predict --like binary
check 'a run of seven threads a rank' "$shardscope" train job.json --threads 7 --profile threads.db --quiet
refuses '7 threads' predict --like threads.db
[[ -e none.json ]] && fail 'refused, and yet there is none.json'

# What does not fit is an answer.
variant job.json small.json 's/"steps": 3/"steps": 3, "device_memory_bytes": 1000/'
check 'predict says that it does not fit' bash -c "'$shardscope' predict small.json --json >fits.json"
check 'fits is false' json_ok fits.json 'd["fits"] is False'
refuses_with 1 'memory.*parameter.*neither .* would make it fit' train small.json --quiet
variant job.json tight.json 's/"steps": 3/"steps": 3, "device_memory_bytes": 700000/'
refuses_with 1 'op [0-9]+ .*asks for .* live: .*; what would fit: ' train tight.json --quiet
check 'predict says what would fit' bash -c "'$shardscope' predict tight.json --json >tight.out"
check 'and how much that takes' json_ok tight.out \
  'len(d["suggestions"]) > 0 and all(s["device_peak_bytes"] <= 700000 for s in d["suggestions"])'

# A profile cut short anywhere opens, or is refused in one line.
size=$(stat -c %s run.db)
for part in 1 7 25 50 75 99; do
  head -c $((size * part / 100)) run.db >cut.db
  "$shardscope" report cut.db >cut.out 2>&1 && continue
  refuses 'cut.db' report cut.db
done

# The window draws itself into a file, or says why not and ends with 2.
if [[ -n $window ]]; then
  export QT_QPA_PLATFORM=offscreen
  check 'a screenshot is drawn' "$window" --screenshot shot.png --theme dark --size 900x600 run.db
  check 'it is a picture of that size' bash -c "od -An -tu1 -j16 -N8 shot.png | tr -s ' ' | grep -q '0 0 3 132 0 0 2 88'"
  for bad in missing empty binary folder; do
    code=0
    "$window" --screenshot bad.png "$bad" >bad.out 2>bad.err || code=$?
    check "the window refuses $bad with exit code 2" test "$code" -eq 2
    check "the window names $bad once" test "$(grep -c "shardscope-gui: .*$bad" bad.err)" -eq 1
  done

  # Where there is no display: what needs none works, what needs one says so in one line.
  blind=(env -u DISPLAY -u WAYLAND_DISPLAY -u QT_QPA_PLATFORM)
  check 'a screenshot needs no display' "${blind[@]}" "$window" --screenshot blind.png run.db
  check 'and says nothing' test ! -s check.out
  check 'a screenshot does not ask a display that is gone' "${blind[@]}" DISPLAY=:97 "$window" --screenshot blind.png run.db
  check '--help needs no display' bash -c "${blind[*]} DISPLAY=:97 '$window' --help | grep -q -- --screenshot"
  # window_ends CODE PATTERN COMMAND...: one line on standard error, and that exit code.
  window_ends() {
    local code=0
    checks=$((checks + 1))
    timeout 60 "${@:3}" >bad.out 2>bad.err || code=$?
    [[ $code -eq $1 && $(wc -l <bad.err) -eq 1 ]] && grep -q -- "$2" bad.err ||
      fail "${*:3}" "exit code $code, not $1, or not one line with '$2': $(head -c 600 bad.err)"
  }
  window_ends 2 bogus "${blind[@]}" "$window" --bogus
  window_ends 2 blue "${blind[@]}" "$window" --theme blue --screenshot blind.png run.db
  window_ends 2 "view is 'bogus'" "${blind[@]}" "$window" --view bogus --screenshot blind.png run.db
  window_ends 2 'missing' "${blind[@]}" "$window" --state missing --screenshot blind.png
  echo '{"colour": 1}' >bad_view.json
  window_ends 2 'bad_view.json: colour' "${blind[@]}" "$window" --state bad_view.json --screenshot blind.png
  window_ends 2 'link' "${blind[@]}" "$window" --screenshot blind.png shardscope://elsewhere
  echo '{"version": 1, "files": ["run.db"], "view": "timeline", "views": {"timeline": {"search": "matmul"}}}' >view.json
  check 'a saved view is opened' "${blind[@]}" "$window" --state view.json --screenshot blind.png
  check 'gui starts the window' "${blind[@]}" "$shardscope" gui --view timeline --screenshot blind.png run.db
  check 'gui --help has examples' bash -c "'$shardscope' gui --help | grep -q 'shardscope gui'"
  window_ends 1 'no display' "${blind[@]}" "$window" run.db
  window_ends 1 'no display' "${blind[@]}" DISPLAY=:97 "$window" run.db
fi

# Something that is no profile is left as it was.
cp binary precious.db
refuses 'precious.db' train job.json --profile precious.db
check 'a file that is no profile is left alone' cmp binary precious.db
refuses 'folder' train job.json --profile folder
refuses_with 1 'missing' train job.json --profile missing/run.db

# ---- checkpoints -------------------------------------------------------------------------------------------------------

check 'train writes checkpoints' bash -c \
  "'$shardscope' train job.json --checkpoint ckpt --checkpoint-every 1 --json >ckpt.json 2>ckpt.err"
check 'the last checkpoint is named' json_ok ckpt.json 'd["checkpoint"] == "ckpt/step-3" and d["first_step"] == 0'
check 'two checkpoints stay' bash -c '[[ "$(ls -d ckpt/step-*)" == $(printf "ckpt/step-2\nckpt/step-3") ]]'
check 'another number of ranks goes on' bash -c \
  "'$shardscope' train job.json --steps 5 --ranks 1 --micro-batch 4 --stage 0 --resume ckpt --json >on.json 2>on.err"
check 'it goes on where the checkpoint was' json_ok on.json 'd["first_step"] == 3 and len(d["losses"]) == 2'
check 'the whole run' bash -c "'$shardscope' train job.json --steps 5 --checkpoint whole --json >whole.json 2>whole.err"
check 'and learns what the whole run learns' json_ok on.json \
  'all(abs(a - b) < 1e-4 for a, b in zip(d["losses"], json.load(open("whole.json"))["losses"][3:]))'
check 'resume auto starts anew where there is nothing' bash -c \
  "'$shardscope' train job.json --checkpoint fresh --resume auto --json >fresh.json 2>fresh.err"
check 'resume auto began at step 0' json_ok fresh.json 'd["first_step"] == 0'
refuses 'done.*--steps' train job.json --resume ckpt
variant model.json deeper.json 's/"n_layer": 2/"n_layer": 3/'
refuses 'n_layer' train job.json --steps 9 --resume ckpt --model deeper.json
refuses 'checkpoint.path' train job.json --checkpoint-every 5
refuses 'checkpoint.resume' train job.json --resume
refuses 'checkpoint-keep|checkpoint.keep' train job.json --checkpoint ckpt --checkpoint-keep -1
variant job.json point.json 's/"steps"/"checkpoint": {"pathh": "x"}, "steps"/'
refuses 'checkpoint.*path' train point.json
for bad in missing empty binary folder; do refuses "$bad" train job.json --resume "$bad"; done
cp -r ckpt cut-ckpt
truncate -s -1 cut-ckpt/step-3/rank-00001.bin
refuses 'rank-00001.bin.*cut short' train job.json --steps 5 --resume cut-ckpt/step-3
check 'a damaged checkpoint is passed over' bash -c "'$shardscope' train job.json --steps 5 --resume cut-ckpt --json >over.json 2>over.err"
check 'and that is said' grep -q 'going back to cut-ckpt/step-2' over.err
check 'the one before was taken' json_ok over.json 'd["first_step"] == 2'
cp -r ckpt flipped
printf '\377' | dd of=flipped/step-3/rank-00000.bin bs=1 seek=100 conv=notrunc 2>/dev/null
refuses 'rank-00000.bin.*damaged.*tensor' train job.json --steps 5 --resume flipped --quiet
"$shardscope" train job.json --steps 100000 --checkpoint held --quiet >/dev/null 2>&1 &
pid=$!
for _ in $(seq 100); do [[ -e held/lock ]] && break; sleep 0.1; done
sleep 0.2
refuses 'another run' train job.json --checkpoint held
kill -INT "$pid"
wait "$pid"
check 'Ctrl-C leaves a checkpoint' test -s held/latest

# ---- weights -----------------------------------------------------------------------------------------------------------

check 'weights are exported' "$shardscope" weights ckpt -o exported
check 'with a config' "$shardscope" lower --model exported
check 'they start another run' bash -c "'$shardscope' train job.json --steps 1 --weights exported --json >started.json 2>started.err"
check 'with the loss that the next step of theirs has' json_ok started.json 'd["losses"][0] < json.load(open("ckpt.json"))["losses"][0]'
check 'in bf16 and several files' "$shardscope" weights ckpt/step-3 -o small-files --dtype bf16 --file-gb 0.00001
check 'these have an index' test -s small-files/model.safetensors.index.json
check 'and start a run too' "$shardscope" train job.json --steps 1 --weights small-files --quiet
check 'safetensors are exported again' "$shardscope" weights small-files -o once-more
refuses 'exported.*already' weights ckpt -o exported
refuses 'n_layer|h.2' train job.json --weights exported --model deeper.json
refuses 'missing' weights exported/model.safetensors -o elsewhere --model missing
refuses 'weights' train job.json --steps 9 --weights exported --resume ckpt
refuses 'dtype' weights ckpt -o other --dtype int8
for bad in missing empty binary folder; do
  refuses "$bad" train job.json --weights "$bad"
  refuses "$bad" weights "$bad" -o elsewhere
done
head -c 3000 exported/model.safetensors >cut.safetensors
refuses 'cut.safetensors' train job.json --weights cut.safetensors
printf '\377\377\377\377\377\377\377\177{}' >hostile.safetensors
refuses 'hostile.safetensors.*header' train job.json --weights hostile.safetensors
mkdir pickled
cp binary pickled/mp_rank_00_model_states.pt
refuses 'mp_rank_00_model_states.pt' train job.json --resume pickled
refuses 'config.json|--model' weights pickled -o elsewhere

# ---- generation --------------------------------------------------------------------------------------------------------

check 'a checkpoint continues a prompt' bash -c \
  "'$shardscope' generate --weights ckpt --prompt 'line 7' --max-new-tokens 12 --json >gen.json 2>gen.err"
check 'with as many tokens, speeds and memory as predicted' json_ok gen.json \
  '(len(d["sequences"][0]["tokens"]) == 12 and d["decode"]["tokens_per_s"] > 0 and d["decode"]["predicted_time_s"] > 0
   and d["memory"]["measured"][0]["peak_bytes"] == d["memory"]["predicted"][0]["peak_bytes"]
   and d["memory"]["measured"][0]["memory_by_category"]["device"]["cache"] == d["cache_bytes_per_rank"])'
check 'exported weights say the same' bash -c \
  "'$shardscope' generate --weights exported --prompt 'line 7' --max-new-tokens 12 --tp 2 --json >gen2.json 2>gen.err"
check 'on two ranks too' json_ok gen2.json \
  'd["sequences"][0]["tokens"] == json.load(open("gen.json"))["sequences"][0]["tokens"] and len(d["memory"]["measured"]) == 2'
printf 'line 7\n\nof a text\r\n' >prompts
check 'prompts of different lengths together' bash -c \
  "'$shardscope' generate --weights ckpt --prompts prompts --max-new-tokens 12 --json --profile gen.db >gen3.json 2>gen.err"
check 'each as alone' json_ok gen3.json \
  'len(d["sequences"]) == 2 and d["sequences"][0]["tokens"] == json.load(open("gen.json"))["sequences"][0]["tokens"]'
check 'the profile has prefill and decode, measured and predicted' bash -c \
  "'$shardscope' query gen.db 'select name, count(*) from run group by name' | grep -cE 'generate.(prefill|decode).*2' | grep -qx 2"
check 'the text is what standard output gets' bash -c \
  "[[ \$('$shardscope' generate --weights ckpt --prompt 'line 7' --max-new-tokens 12 --quiet | wc -c) -ge 13 ]]"
check 'int8' bash -c "'$shardscope' generate --weights ckpt --prompt 'line 7' --dtype int8 --json >gen8.json 2>gen.err"
check 'is smaller' json_ok gen8.json \
  '(d["memory"]["measured"][0]["memory_by_category"]["device"]["parameter"] <
   json.load(open("gen.json"))["memory"]["measured"][0]["memory_by_category"]["device"]["parameter"])'
check 'same seed, same draw' bash -c \
  "for i in 1 2; do '$shardscope' generate --weights ckpt --prompt x --temperature 1 --top-k 20 --seed 3 --quiet >draw.\$i; done; cmp draw.1 draw.2"
check 'a prediction needs no weights' "$shardscope" generate --model model.json --prompt x --tp 2 --predict --cluster cluster.json
check 'the program can be read' bash -c "'$shardscope' generate --model model.json --prompt x --lower decode | grep -q cached_attention"
refuses 'prompt.*200 tokens.*64 positions' generate --model model.json --prompt "$(printf '%0200d' 0)"
refuses 'max-new-tokens.*use at most 64' generate --model model.json --prompt x --max-new-tokens 65
refuses 'max-new-tokens: is 0' generate --model model.json --prompt x --max-new-tokens 0
refuses 'dtype.*fp32.*bf16.*int8' generate --model model.json --prompt x --dtype int4
refuses 'one of --prompt' generate --model model.json
refuses 'one of --prompt' generate --model model.json --prompt x --prompts prompts
refuses 'has no tokens|one of --prompt' generate --model model.json --prompt ''
refuses 'token 256 is outside' generate --model model.json --prompt-tokens 1,256
refuses 'temperature' generate --model model.json --prompt x --temperature -1
refuses 'top-p' generate --model model.json --prompt x --top-p 0
refuses 'top-k' generate --model model.json --prompt x --top-k -1
refuses 'parallel.tp' generate --model model.json --prompt x --tp 3
refuses 'beginning' generate --model model.json --prompt x --begin
refuses 'give --model' generate --prompt x
refuses 'cluster.*--predict' generate --model model.json --prompt x --cluster cluster.json
refuses 'lower.*prefill or decode' generate --model model.json --prompt x --lower training
refuses_with 1 'device memory' generate --model model.json --prompt x --device-memory 1000 --quiet
for bad in missing empty binary folder; do
  refuses "$bad" generate --weights "$bad" --prompt x
  [[ $bad == binary ]] || refuses "$bad|no prompt" generate --model model.json --prompts "$bad"
done

# Ctrl-C: the step is finished, what was recorded is kept, the exit code says so.
"$shardscope" train job.json --steps 100000 --profile stopped.db >stopped.out 2>stopped.err &
pid=$!
for _ in $(seq 300); do
  sleep 0.1
  [[ $(wc -c <stopped.err) -gt 300 ]] && break
done
sleep 1
kill -INT "$pid"
code=0
wait "$pid" || code=$?
check 'Ctrl-C ends with exit code 1' test "$code" -eq 1
check 'Ctrl-C is said once' test "$(grep -c 'interrupted' stopped.err)" -eq 1
check 'what was recorded before Ctrl-C is there' bash -c \
  "'$shardscope' query stopped.db 'select status, count(*) > 2 from run join step on run.id = step.run where predicted = 0' | grep -E 'interrupted.*1'"

# kill -9: the profile opens.
"$shardscope" train job.json --steps 100000 --profile killed.db >/dev/null 2>&1 &
pid=$!
sleep 4
kill -KILL "$pid"
wait "$pid" 2>/dev/null
check 'a killed run leaves a profile that opens' "$shardscope" report killed.db

# ---- published runs --------------------------------------------------------------------------------------------------

head='id,model_name,gpu,n_gpus,framework,seq_len,micro_batch,global_batch,tokens_per_s_per_gpu,mem_gb_per_gpu,notes'
good='a-1,llama-2-7b,H100,8,torchtitan,4096,1,64,9000,60,Q=A; memory = peak reserved'
printf '%s\n%s\n' "$head" "$good" 'a-2,llama-2-7b,H10O,8,torchtitan,4096,1,64,9000,,Q=A' \
  'a-3,llama-2-7b,H100,eight,torchtitan,4096,1,64,9000,,Q=A' 'b-1,my-7b,H100,8,own,4096,1,64,9000,,' \
  'b-2,llama-2-7b,H100,8,torchtitan,4096,1,64,900000,,Q=A' >runs.csv
printf '%s\n%s\n' "$head" 'a-2,llama-2-7b,H10O,8,torchtitan,4096,1,64,9000,,Q=A' >unknown.csv
printf '%s\n%s\n' "${head/n_gpus/n_gpu}" "$good" >renamed.csv
printf '%s\n%s\n' "$head" 'a-3,llama-2-7b,H100,eight,torchtitan,4096,1,64,9000,,Q=A' >broken.csv
refuses 'missing.csv' validate missing.csv
refuses 'renamed.csv:1: there is no column n_gpus; there is "n_gpu"' validate renamed.csv
refuses 'none of 1 rows can be predicted; the first, line 2: .*GPU "H10O"; did you mean .*h100-sxm' validate unknown.csv
refuses 'broken.csv:2: n_gpus is "eight".*all 1 rows are broken' validate broken.csv
refuses '--source mine.*there are a, b' validate runs.csv --source mine
refuses 'quality' validate runs.csv --quality D
refuses '--summary requires --json' validate runs.csv --summary
refuses 'excludes' validate runs.csv --sweeps --json
printf '%s\n%s\n' "$head,mfu_pct" 'a-1,llama-2-7b,H100,8,torchtitan,4096,1,64,,60,Q=A,4000' >mfu.csv
refuses 'mfu_pct is "4000"; .*at most 100' validate mfu.csv
refuses 'runs.csv:1: the columns must be scope,owner' validate runs.csv --constants runs.csv
printf 'scope,owner,name,value,start,low,high,unit,source\ndevice,hopper,speed,1,1,0,2,,guess\n' >constants.csv
refuses 'constants.csv:2: name is "speed"; it must be one of matmul_efficiency' validate runs.csv --constants constants.csv
refuses_with 1 'nowhere/fit.csv: cannot be written' validate runs.csv --fit nowhere/fit.csv
check 'validate reads what it can' "$shardscope" validate runs.csv --svg scatter.svg
grep -q '1 broken rows' check.out || fail 'validate' 'does not count broken rows'
grep -q 'line 4 (a-3): n_gpus is "eight"' check.out || fail 'validate' 'does not name the broken row'
grep -q '</svg>' scatter.svg || fail 'validate --svg' 'writes no picture'
check 'validate --json' "$shardscope" validate runs.csv --json
for key in '"id":"a-1"' '"step_time_error":' '"mem_error":' '"fits":true' '"assumed":\[' '"skipped":null' \
  '"skipped":"the catalog has no GPU' '"skipped":"published: a step of .* whose peak is 989: another unit' '"sources":{"a":{"n":1,"step_time_mape":' '"kendall_tau":null' '"overall":{' '"sweeps":\[\]' '"line":4'; do
  grep -q -- "$key" check.out || fail 'validate --json' "has no $key"
done

# ---- planner ---------------------------------------------------------------------------------------------------------

plan=(plan --model llama-3-8b --tokens 100B --max-gpus 64 --seq 4096 --global-batch 512)
refuses '--tokens is missing' plan --model llama-3-8b
refuses 'unit' "${plan[@]}" --deadline 30m
refuses 'number above 0' "${plan[@]}" --budget lots
refuses '300X.*unit' plan --model llama-3-8b --tokens 300X
refuses 'h100-sxm' "${plan[@]}" --gpus h100-smx
refuses 'llama-3-8b' plan --model lama-3-8b --tokens 1B
refuses 'cost, time or energy' "${plan[@]}" --objective speed
refuses '--deadline .* cannot be met: the fastest .*64 x h100' "${plan[@]}" --gpus h100-sxm --deadline 2h
refuses '--budget .* too small: the cheapest' "${plan[@]}" --gpus h100-sxm --budget 10
refuses 'fits on none of the GPUs' plan --model bloom --tokens 1B --gpus rtx-4090 --max-gpus 8 --framework megatron
refuses 'no layout is legal|whole nodes' "${plan[@]}" --gpus dgx-h100:12
refuses 'precision' "${plan[@]}" --precision bf8
refuses 'none of the GPUs computes' "${plan[@]}" --gpus a100-80-sxm --precision fp8
refuses 'TOKENS:SEQUENCES' "${plan[@]}" --warmup 4B
refuses 'GPU=USD' "${plan[@]}" --price 3
refuses 'SYSTEM:N' plan --fit --model llama-3-8b
refuses 'wants --prompt-tokens' plan --serve --model llama-3-8b
refuses '--latency .* cannot be met' plan --serve --model llama-3-70b --prompt-tokens 2000 --output-tokens 300 --rps 2 --latency 20
refuses 'BASE|base' whatif
refuses 'has no cluster' whatif job.json --set zero.stage=1
refuses 'zero.stage' whatif job.json --cluster dgx-a100:8 --set zero.stge=1
refuses 'hpz 3 does not divide the 2' whatif job.json --cluster dgx-a100:8 --set zero.stage=3 --set zero.hpz=3
refuses 'ZeRO\+\+.* need ZeRO-3' whatif job.json --cluster dgx-a100:8 --set zero.stage=2 --set zero.quantized_weights=true
refuses 'ZeRO\+\+.* not known' whatif job.json --cluster dgx-a100:8 --set zero.stage=3 --set zero.hpz=2 --set framework=fsdp2
refuses 'parallel.sp=false: changes nothing' whatif job.json --cluster dgx-a100:8 --set parallel.sp=false
refuses '12 GPUs: .*whole nodes of 8' whatif job.json --cluster dgx-a100:8 --set gpus=12
refuses '--rps requires --serve' "${plan[@]}" --rps 3
refuses '--budget changes nothing with --fit' plan --fit --model llama-3-8b --gpus dgx-a100:8 --budget 3M
serve=(plan --serve --model llama-3-70b --prompt-tokens 2000 --output-tokens 300 --rps 20)
refuses '--deadline changes nothing with --serve' "${serve[@]}" --latency 15000 --deadline 3d
refuses 'latency: .*ms,s' "${serve[@]}" --latency 15h
refuses 'needs at least 24 GPUs .*there are 8: allow more, or at most 7' "${serve[@]}" --latency 15000 --gpus h100-sxm:8
refuses 'needs at least' "${serve[@]}" --latency 15000 --max-gpus 8
refuses 'gpt2 has learned 1024 positions' plan --serve --model gpt2 --prompt-tokens 2000 --output-tokens 3 --rps 1 --latency 15000
refuses 'gpt2 has learned 1024 positions' plan --model gpt2 --tokens 1B --seq 2048
refuses 'has no experts' "${plan[@]}" --expert-imbalance 2
refuses 'a step alone takes' plan --model llama-3-8b --tokens 1K
refuses 't4 is none of --gpus' "${plan[@]}" --price t4=1
refuses 'as 250K' "${plan[@]}" --budget lots
refuses 'unit is missing' "${plan[@]}" --deadline 30
refuses '--mtbf-hours 1: .*fail every' plan --model llama-3-8b --tokens 100B --gpus dgx-h100:512 --mtbf-hours 1
refuses 'from 0 to 3' whatif job.json --cluster dgx-a100:8 --set zero.stage=4

check 'plan --json' bash -c "'$shardscope' ${plan[*]} --gpus h100-sxm,a100-80-sxm --out plans --html plan.html --json >plan.out"
check 'plan --json has the keys' json_ok plan.out 'd["pareto"] and d["searched"] > 1000 and 0 <= d["recommended"] < len(d["pareto"]) and all(
  set(["gpu", "gpus", "dp", "tp", "pp", "vpp", "cp", "ep", "zero", "offload", "micro_batch", "recompute", "step_time_s", "days", "cost_usd", "peak_gb",
       "headroom_gb", "interval", "files"]) <= set(p) and p["headroom_gb"] >= 0 and p["interval"][0] <= p["step_time_s"] <= p["interval"][1] and p["interval"][0] < p["interval_median"] < p["interval"][1] and
  abs(sum(p["time_s"].values()) / p["step_time_s"] - 1) < 1e-6 and p["dp"] * p["tp"] * p["pp"] * p["cp"] * p["ulysses"] == p["gpus"] for p in d["pareto"])'
check 'nothing on the front is beaten' json_ok plan.out 'not any(a is not b and a["days"] <= b["days"] and a["cost_usd"] < b["cost_usd"] and
  a["energy_kwh"] <= b["energy_kwh"] and a["headroom_gb"] > 10 for a in d["pareto"] for b in d["pareto"])'
check 'plan: no exponents, whatever its size' bash -c "'$shardscope' plan --model llama-3-405b --tokens 15T --max-gpus 16 --gpus h100-sxm >large.out && grep -q '15 T tokens' large.out && ! grep -qE '[0-9]e[+][0-9]' large.out"
check 'the report is one file' bash -c 'grep -q "<svg" plan.html && ! grep -qE "(src|href)=" plan.html'
first=$(find plans -mindepth 1 -maxdepth 1 | sort | head -1)
check 'files of a plan: DeepSpeed' "$shardscope" check "$first/ds_config.json"
check 'files of a plan: launch line' bash -n "$first/launch.sh"
check 'interleaved plans' bash -c "'$shardscope' plan --model llama-2-70b --tokens 2T --gpus h100-sxm --max-gpus 128 --framework megatron --out vpp >/dev/null && grep -lq virtual_stages vpp/*/job.json"
check 'files of interleaved plans: predict runs them' bash -c "for job in \$(grep -l virtual_stages vpp/*/job.json | head -3); do '$shardscope' predict \$job >/dev/null || exit 1; done"
check 'plan for one node' "$shardscope" plan --model llama-2-7b --tokens 1B --gpus dgx-h100:8 --seq 2048 --global-batch 64 --out node
check 'files of a plan: predict runs them' bash -c "'$shardscope' predict node/01-h100-sxm-8/job.json --json >predicted.out"
check 'files of a plan: the same tokens a step' json_ok predicted.out 'd["tokens_per_step"] == 64 * 2048 and d["fits"]'
check 'whatif on a plan' bash -c "'$shardscope' whatif plan.out --set links.nic_gbps=800 --set gpu=b200 --svg change.svg --json >whatif.out"
check 'whatif sums up' json_ok whatif.out 'abs(d["before"]["step_time_s"] + d["rest_s"] + sum(s["change_s"] for s in d["waterfall"]) -
  d["after"]["step_time_s"]) < 1e-9 and d["step_time_change"] < 0'
check 'whatif says what the framework does not run' bash -c "'$shardscope' whatif plan.out --set framework=megatron --set zero.stage=3 | grep -q 'megatron does not run ZeRO 3'"
check 'whatif on a job' "$shardscope" whatif job.json --cluster dgx-a100:8 --set zero.stage=3
check 'plan --fit' bash -c "'$shardscope' plan --fit --model llama-2-13b --gpus dgx-a100:8 --json >fit.out"
check 'plan --fit recommends what fits' json_ok fit.out 'd["rows"][d["recommended"]]["fits"] and not d["rows"][0]["fits"] and d["rows"][0]["zero"] == 0'
check 'plan --serve' bash -c "'$shardscope' plan --serve --model llama-3-70b --prompt-tokens 2000 --output-tokens 300 --rps 20 --latency 20000 --json >serve.out"
check 'plan --serve --csv --html' bash -c "'$shardscope' ${serve[*]} --latency 15000 --csv --html serve.html >serve.csv"
check 'plan --serve --latency 15s' bash -c "'$shardscope' ${serve[*]} --latency 15s --csv | cmp - serve.csv"
check 'its CSV' bash -c 'head -1 serve.csv | grep -q ^gpu,gpus,tp && [[ $(wc -l <serve.csv) -gt 3 ]]'
check 'its report is one file' bash -c 'grep -q "<svg" serve.html && ! grep -qE "(src|href)=" serve.html'
check 'plan --serve meets the latency' json_ok serve.out 'all(p["latency_s"] <= 20 and p["capacity_rps"] >= 20 for p in d["serving"]) and d["serving"]'

# A full disk (here: files may not grow) stops the recording, not the run.
code=0
(trap '' XFSZ && ulimit -f 300 && exec "$shardscope" train job.json --steps 2000 --profile full.db --json) \
  >full.out 2>full.err || code=$?
check 'a full disk ends with exit code 1' test "$code" -eq 1
check 'a full disk is said once' test "$(grep -c 'full.db' full.err)" -eq 1
check 'a full disk does not stop the run' json_ok full.out 'len(d["losses"]) == 2000'

printf '%d checks, %d failed\n' "$checks" "$failures"
[[ $failures -eq 0 ]]
