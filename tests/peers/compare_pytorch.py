#!/usr/bin/env python3
"""Trains the same initial weights on the same batches with Shardscope and with plain PyTorch, and compares.

    tests/peers/compare_pytorch.py --install           # once: a venv with PyTorch under build/ (a large download)
    tests/peers/compare_pytorch.py                     # 20 steps of losses, gpt2, llama and mixtral shapes, 1e-4 relative
    tests/peers/compare_pytorch.py --part speed        # tokens/s, whole optimizer step, all-reduce against gloo

PyTorch is never a dependency of the build or of ./dev test. Exit codes: 0 all equal, 1 a difference, 2 cannot run.
The models are written here from the published definitions, operator by operator, in eager mode.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
VENV = ROOT / "build" / "peers-venv"
TOLERANCE = 1e-4  # relative, of a loss

ADAM = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.01}
CLIP = 1.0

GPT2 = {"model_type": "gpt2", "vocab_size": 256, "n_positions": 128, "n_embd": 128, "n_layer": 3, "n_head": 4,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "initializer_range": 0.02}
LLAMA = {"model_type": "llama", "vocab_size": 256, "hidden_size": 128, "num_hidden_layers": 3,
         "num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": 352, "hidden_act": "silu",
         "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 128, "tie_word_embeddings": False,
         "initializer_range": 0.02}
MIXTRAL = dict(LLAMA, model_type="mixtral", intermediate_size=128, num_local_experts=4, num_experts_per_tok=2,
               router_aux_loss_coef=0.02)
GPT2_SPEED = dict(GPT2, n_embd=768, n_layer=4, n_head=12, n_positions=512)


def install():
    """A venv of its own, so that nothing of the system changes."""
    if not (VENV / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    subprocess.run([str(VENV / "bin" / "pip"), "install", "--quiet", "torch", "numpy"], check=True)


def enter_venv():
    """Starts this script again under the venv's Python if PyTorch is only there."""
    try:
        import torch  # noqa: F401
        return
    except ImportError:
        pass
    python = VENV / "bin" / "python"
    if not python.exists() or pathlib.Path(sys.prefix) == VENV:
        sys.exit("compare_pytorch.py: PyTorch is not installed; run it with --install first")
    os.execv(str(python), [str(python), *sys.argv])


# ---------------------------------------------------------------- Shardscope's side

def run_shardscope(binary, folder, config, ds, steps, seq, ranks, extra=(), ep=1):
    """Returns train's JSON object; weights and batches are left in the folder."""
    model, ds_file = folder / "config.json", folder / "ds_config.json"
    model.write_text(json.dumps(config))
    ds_file.write_text(json.dumps(ds))
    job = folder / "job.json"
    job.write_text(json.dumps({"parallel": {"dp": ranks, "ep": ep}}))
    command = [str(binary), "train", str(job), "--model", str(model), "--deepspeed", str(ds_file), "--ranks", str(ranks), "--seq",
               str(seq), "--steps", str(steps), "--dump-weights", str(folder / "w.safetensors"), "--dump-batches",
               str(folder / "b.safetensors"), "--quiet", "--json", *extra]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"compare_pytorch.py: shardscope failed: {result.stderr.strip()}")
    return json.loads(result.stdout.strip().splitlines()[-1])


def ds_config(stage, micro_batch, accumulation):
    return {"train_micro_batch_size_per_gpu": micro_batch, "gradient_accumulation_steps": accumulation,
            "gradient_clipping": CLIP, "zero_optimization": {"stage": stage},
            "optimizer": {"type": "AdamW", "params": ADAM}}


def read_safetensors(path):
    import torch
    types = {"F32": torch.float32, "I32": torch.int32}
    raw = bytearray(path.read_bytes())
    length = int.from_bytes(raw[:8], "little")
    tensors = {}
    for name, entry in json.loads(bytes(raw[8:8 + length])).items():
        begin, end = entry["data_offsets"]
        data = torch.frombuffer(raw, dtype=types[entry["dtype"]], offset=8 + length + begin,
                                count=(end - begin) // 4)
        tensors[name] = data.reshape(entry["shape"]).clone()
    return tensors


# ---------------------------------------------------------------- PyTorch's side

def gpt2_logits(w, c, tokens, aux):
    """Pre-norm GPT-2: Conv1D weights are [in, out], the head is the token table."""
    import torch.nn.functional as F
    batch, seq = tokens.shape
    hidden, heads, eps = c["n_embd"], c["n_head"], c["layer_norm_epsilon"]
    norm = lambda x, name: F.layer_norm(x, (hidden,), w[name + ".weight"], w[name + ".bias"], eps)
    conv = lambda x, name: x @ w[name + ".weight"] + w[name + ".bias"]
    x = F.embedding(tokens, w["transformer.wte.weight"]) + w["transformer.wpe.weight"][:seq]
    for i in range(c["n_layer"]):
        p = f"transformer.h.{i}."
        q, k, v = conv(norm(x, p + "ln_1"), p + "attn.c_attn").split(hidden, dim=2)
        q, k, v = (t.view(batch, seq, heads, -1).transpose(1, 2) for t in (q, k, v))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + conv(a.transpose(1, 2).reshape(batch, seq, hidden), p + "attn.c_proj")
        h = F.gelu(conv(norm(x, p + "ln_2"), p + "mlp.c_fc"), approximate="tanh")
        x = x + conv(h, p + "mlp.c_proj")
    return norm(x, "transformer.ln_f") @ w["transformer.wte.weight"].T


def rotate(x, theta):
    """Rotary embedding of [batch, heads, seq, d], halves paired as in Llama."""
    import torch
    seq, d = x.shape[2], x.shape[3]
    frequency = theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
    angle = torch.outer(torch.arange(seq, dtype=torch.float64), frequency)
    cos, sin = angle.cos().float(), angle.sin().float()
    a, b = x[..., :d // 2], x[..., d // 2:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def mixtral_experts(w, c, p, h, aux):
    """Each token's weighted experts; what the router adds to the loss goes into `aux` (docs/moe.md)."""
    import torch.nn.functional as F
    experts, top_k = c["num_local_experts"], c["num_experts_per_tok"]
    rows = h.reshape(-1, h.shape[-1])
    probabilities = F.softmax(rows @ w[p + "block_sparse_moe.gate.weight"].T, dim=-1)
    weights, chosen = probabilities.topk(top_k, dim=-1)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    share = F.one_hot(chosen, experts).sum(dim=1).float().mean(dim=0)
    aux.append(experts * (share * probabilities.mean(dim=0)).sum())
    out = 0
    for e in range(experts):
        name = f"{p}block_sparse_moe.experts.{e}."
        answer = (F.silu(rows @ w[name + "w1.weight"].T) * (rows @ w[name + "w3.weight"].T)) @ w[name + "w2.weight"].T
        out = out + (weights * (chosen == e)).sum(dim=1, keepdim=True) * answer
    return out.view_as(h)


def llama_logits(w, c, tokens, aux):
    """Llama with grouped-query attention; Linear weights are [out, in]. In Mixtral experts take the MLP's place."""
    import torch
    import torch.nn.functional as F
    batch, seq = tokens.shape
    hidden, heads, kv_heads = c["hidden_size"], c["num_attention_heads"], c["num_key_value_heads"]

    def norm(x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + c["rms_norm_eps"]) * w[name + ".weight"]

    def split(x, n):
        return x.view(batch, seq, n, hidden // heads).transpose(1, 2)

    x = F.embedding(tokens, w["model.embed_tokens.weight"])
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        h = norm(x, p + "input_layernorm")
        q = rotate(split(h @ w[p + "self_attn.q_proj.weight"].T, heads), c["rope_theta"])
        k = rotate(split(h @ w[p + "self_attn.k_proj.weight"].T, kv_heads), c["rope_theta"])
        v = split(h @ w[p + "self_attn.v_proj.weight"].T, kv_heads)
        k, v = (t.repeat_interleave(heads // kv_heads, dim=1) for t in (k, v))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + a.transpose(1, 2).reshape(batch, seq, hidden) @ w[p + "self_attn.o_proj.weight"].T
        h = norm(x, p + "post_attention_layernorm")
        if c["model_type"] == "mixtral":
            x = x + mixtral_experts(w, c, p, h, aux)
            continue
        gate, up = h @ w[p + "mlp.gate_proj.weight"].T, h @ w[p + "mlp.up_proj.weight"].T
        x = x + (F.silu(gate) * up) @ w[p + "mlp.down_proj.weight"].T
    return norm(x, "model.norm") @ w["lm_head.weight"].T


def train_pytorch(folder, config, fused=False, micro_batch=None):
    """Losses and step times of the dumped weights on the dumped batches, one process, whole batch at once; or in
    micro-batches, which routers tell apart."""
    import torch
    import torch.nn.functional as F
    logits = gpt2_logits if config["model_type"] == "gpt2" else llama_logits
    w = {name: t.requires_grad_() for name, t in read_safetensors(folder / "w.safetensors").items()}
    batches = read_safetensors(folder / "b.safetensors")["tokens"].long()
    optimizer = torch.optim.AdamW(w.values(), lr=ADAM["lr"], betas=tuple(ADAM["betas"]), eps=ADAM["eps"],
                                  weight_decay=ADAM["weight_decay"], fused=fused)
    losses, times = [], []
    for batch in batches:
        start = time.perf_counter()
        optimizer.zero_grad()
        parts = batch.split(micro_batch or len(batch))
        total = 0
        for part in parts:
            aux = []
            out = logits(w, config, part[:, :-1], aux)
            loss = F.cross_entropy(out.reshape(-1, out.shape[-1]), part[:, 1:].reshape(-1)) / len(parts)
            if aux:
                loss = loss + config["router_aux_loss_coef"] * sum(aux) / len(aux) / len(parts)
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(w.values(), CLIP)
        optimizer.step()
        losses.append(total)
        times.append(time.perf_counter() - start)
    return losses, times


# ---------------------------------------------------------------- comparisons

def compare_losses(binary, steps):
    """Each shape on 1 rank and on 2 ranks under every ZeRO stage, experts shared out among 2 ranks, against one run of
    PyTorch."""
    failures = 0
    print(f"{'shape':8} {'ranks':>5} {'ep':>2} {'stage':>5}  {'first':>9} {'last':>9}  {'largest relative difference':>27}")
    for name, config in (("gpt2", GPT2), ("llama", LLAMA), ("mixtral", MIXTRAL)):
        for ranks, stage, micro, accumulation in ((1, 0, 4, 2), (2, 0, 4, 1), (2, 1, 2, 2), (2, 2, 4, 1), (2, 3, 2, 2)):
            with tempfile.TemporaryDirectory() as temporary:
                folder = pathlib.Path(temporary)
                ep = ranks if name == "mixtral" else 1
                ours = run_shardscope(binary, folder, config, ds_config(stage, micro, accumulation), steps, 64, ranks,
                                      ep=ep)
                theirs, _ = train_pytorch(folder, config, micro_batch=micro if name == "mixtral" else None)
            assert len(ours["losses"]) == len(theirs) == steps
            worst = max(abs(a - b) / abs(b) for a, b in zip(ours["losses"], theirs))
            verdict = "" if worst <= TOLERANCE else "  DIFFERENT"
            failures += worst > TOLERANCE
            print(f"{name:8} {ranks:5} {ep:2} {stage:5}  {theirs[0]:9.5f} {theirs[-1]:9.5f}  {worst:27.2e}{verdict}")
    return failures


def spread(values):
    return f"{statistics.median(values):.4f} s (best {min(values):.4f})"


def compare_training_speed(binary, threads):
    """One rank, a GPT-2-small layer shape; ours and theirs in turn, so that a disturbance meets both."""
    import torch
    torch.set_num_threads(threads)
    seq, micro, steps = 256, 4, 4
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        for _ in range(3):
            run = run_shardscope(binary, folder, GPT2_SPEED, ds_config(0, micro, 1), steps, seq, 1,
                                 ("--threads", str(threads)))
            ours.append(run["step_time_s"]["median"])
            theirs.append(statistics.median(train_pytorch(folder, GPT2_SPEED, fused=True)[1][1:]))
    tokens = micro * seq
    ratio = min(theirs) / min(ours)
    print(f"training, {threads} thread(s), h768 x 4 layers, b{micro} s{seq}: ours {spread(ours)} = "
          f"{tokens / min(ours):.0f} tokens/s; PyTorch eager, fused AdamW {spread(theirs)} = "
          f"{tokens / min(theirs):.0f} tokens/s; ratio {ratio:.2f}")


def time_optimizer(threads, fused):
    """Norm, clip and AdamW of 50 M fp32 parameters in 8 tensors, as clip_grad_norm_ and AdamW do it."""
    import torch
    torch.set_num_threads(threads)
    parameters = [torch.randn(6_250_000).requires_grad_() for _ in range(8)]
    for p in parameters:
        p.grad = torch.randn_like(p)
    options = {"fused": True} if fused else {"foreach": True}
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01, **options)
    times = []
    for _ in range(6):
        start = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()
        times.append(time.perf_counter() - start)
    return times[1:]


def our_optimizer_times(bench):
    """Best seconds of the same step by threads, from engine_bench."""
    output = subprocess.run([str(bench), "3"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in output.splitlines() if line.startswith("optimizer step of 50000000")]
    return {int(row[6]): float(row[8]) for row in rows}


def gloo_rank(rank, sizes, port, queue):
    import torch
    import torch.distributed as dist
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), RANK=str(rank), WORLD_SIZE="2")
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    for size in sizes:
        x, times = torch.zeros(size // 4), []
        for _ in range(200 if size < 1 << 20 else 15):
            dist.barrier()
            start = time.perf_counter()
            dist.all_reduce(x)
            times.append(time.perf_counter() - start)
        if rank == 0:
            queue.put((size, statistics.median(times), min(times)))
    dist.destroy_process_group()


def compare_all_reduce(bench):
    """gloo between two processes against our threads; both medians and fastest."""
    import torch.multiprocessing as mp
    context = mp.get_context("spawn")
    queue = context.Queue()
    sizes = (1 << 10, 1 << 22, 1 << 26)
    workers = [context.Process(target=gloo_rank, args=(r, sizes, 29731, queue)) for r in range(2)]
    for worker in workers:
        worker.start()
    gloo = {size: (median, best) for size, median, best in (queue.get(timeout=120) for _ in sizes)}
    for worker in workers:
        worker.join()
    output = subprocess.run([str(bench), "2"], capture_output=True, text=True, check=True).stdout
    ours = {int(r[2]): (float(r[3]) * 1e-6, float(r[4]) * 1e-6)
            for r in (line.split() for line in output.splitlines()) if r[0] == "all_reduce"}
    for size in sizes:
        print(f"all_reduce of {size} bytes, 2 ranks: ours {ours[size][0] * 1e6:.1f} us (best {ours[size][1] * 1e6:.1f}), "
              f"gloo {gloo[size][0] * 1e6:.1f} us (best {gloo[size][1] * 1e6:.1f}); "
              f"ratio of medians {gloo[size][0] / ours[size][0]:.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="install PyTorch into build/peers-venv first")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="a release build")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--part", choices=("losses", "speed", "all"), default="losses",
                        help="what to compare; for speed the machine should be idle")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, os.cpu_count() or 1])
    options = parser.parse_args()
    if options.install:
        install()
    enter_venv()
    import torch
    binary = options.build / "cli" / "shardscope"
    if not binary.exists():
        print(f"compare_pytorch.py: {binary} is not there; build it first (./dev build)", file=sys.stderr)
        return 2
    print(f"PyTorch {torch.__version__}, Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    failures = 0 if options.part == "speed" else compare_losses(binary, options.steps)
    if options.part != "losses":
        engine_bench = options.build / "tests" / "engine_bench"
        before = our_optimizer_times(engine_bench)
        for threads in sorted(set(options.threads)):
            compare_training_speed(binary, threads)
            for fused in (True, False):
                print(f"optimizer step (norm, clip, AdamW) of 50 M fp32, {threads} thread(s), "
                      f"PyTorch {'fused' if fused else 'foreach'}: {spread(time_optimizer(threads, fused))}")
        for threads, seconds in our_optimizer_times(engine_bench).items():
            print(f"optimizer step (norm, finite test, clip, AdamW) of 50 M fp32, {threads} thread(s), ours: best before "
                  f"and after theirs {before[threads]:.4f} s, {seconds:.4f} s")
        compare_all_reduce(options.build / "tests" / "collectives_bench")
    if options.part != "speed":
        print("all losses agree" if failures == 0 else f"{failures} runs differ by more than {TOLERANCE}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
