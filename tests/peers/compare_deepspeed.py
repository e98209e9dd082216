#!/usr/bin/env python3
"""Trains the same weights on the same batches with Shardscope and with DeepSpeed on CPU ranks, and compares.

    tests/peers/compare_deepspeed.py --install          # once: PyTorch and DeepSpeed into build/peers-venv (large)
    tests/peers/compare_deepspeed.py                    # losses of ZeRO 1, 2, 3 and CPU offload, 2 ranks
    tests/peers/compare_deepspeed.py --part speed       # tokens/s side by side; on an idle machine
    tests/peers/compare_deepspeed.py --part memory      # peak of tensors per rank against the `deepspeed` mode's prediction
    tests/peers/compare_deepspeed.py --part adam        # CPU Adam of DeepSpeed, PyTorch and ours

DeepSpeed runs as its own CPU accelerator does: a process per rank, gloo, its C++ CPU Adam built on first use. It is never
a dependency of the build or of ./dev test. Exit codes: 0 all equal, 1 a difference, 2 cannot run.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import compare_pytorch as peer  # noqa: E402

TOLERANCE = 1e-4  # relative, of a loss
RANKS = 2
MODES = ("1", "2", "3", "1+cpu", "2+cpu", "3+cpu")
SMALL = {"model_type": "gpt2", "vocab_size": 8192, "n_positions": 256, "n_embd": 128, "n_layer": 12, "n_head": 4,
         "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "initializer_range": 0.02,
         "tie_word_embeddings": False}
SHAPES = {"5M": (dict(SMALL), 64, 1), "22M": (dict(SMALL, n_embd=512, n_layer=4, n_head=8), 256, 4)}


def install():
    peer.install()
    subprocess.run([str(peer.VENV / "bin" / "pip"), "install", "--quiet", "deepspeed", "ninja", "setuptools"], check=True)


def ds_config(mode, micro):
    stage, _, offload = mode.partition("+")
    zero = {"stage": int(stage)}
    if offload:
        zero["offload_optimizer"] = {"device": "cpu"}
    return {"train_micro_batch_size_per_gpu": micro, "gradient_accumulation_steps": 1, "gradient_clipping": peer.CLIP,
            "zero_optimization": zero, "optimizer": {"type": "AdamW", "params": peer.ADAM}}


# ---------------------------------------------------------------- DeepSpeed's side: one process per rank

def build_model(config):
    """GPT-2 of plain modules with Hugging Face's names, so that ZeRO-3 sees every use of a parameter."""
    import torch
    import torch.nn as nn
    import torch.nn.functional as F
    hidden, heads = config["n_embd"], config["n_head"]

    class Conv1D(nn.Module):
        def __init__(self, inputs, outputs):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.zeros(inputs, outputs)), nn.Parameter(torch.zeros(outputs))

        def forward(self, x):
            return torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1)

    def norm():
        return nn.LayerNorm(hidden, eps=config["layer_norm_epsilon"])

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.c_attn, self.c_proj = Conv1D(hidden, 3 * hidden), Conv1D(hidden, hidden)

        def forward(self, x):
            batch, seq, _ = x.shape
            q, k, v = (t.view(batch, seq, heads, -1).transpose(1, 2) for t in self.c_attn(x).split(hidden, dim=2))
            out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(out.transpose(1, 2).reshape(batch, seq, hidden))

    class Mlp(nn.Module):
        def __init__(self):
            super().__init__()
            self.c_fc, self.c_proj = Conv1D(hidden, 4 * hidden), Conv1D(4 * hidden, hidden)

        def forward(self, x):
            return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.attn, self.ln_2, self.mlp = norm(), Attention(), norm(), Mlp()

        def forward(self, x):
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class Gpt2(nn.Module):
        def __init__(self):
            super().__init__()
            self.transformer = nn.ModuleDict({
                "wte": nn.Embedding(config["vocab_size"], hidden), "wpe": nn.Embedding(config["n_positions"], hidden),
                "h": nn.ModuleList(Block() for _ in range(config["n_layer"])), "ln_f": norm()})
            self.lm_head = nn.Linear(hidden, config["vocab_size"], bias=False)

        def forward(self, tokens):
            t = self.transformer
            inputs, targets = tokens[:, :-1], tokens[:, 1:]
            x = t["wte"](inputs) + t["wpe"](torch.arange(inputs.shape[1]))
            for block in t["h"]:
                x = block(x)
            logits = self.lm_head(t["ln_f"](x))
            return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))

    return Gpt2()


def train_deepspeed(spec, counter=None):
    """One rank's steps; returns losses averaged over the ranks and seconds per step. The first two steps record and warm
    up: `counter` looks at the others."""
    import deepspeed
    import torch
    import torch.distributed as dist
    rank = int(os.environ["RANK"])
    folder = pathlib.Path(spec["folder"])
    deepspeed.init_distributed(dist_backend="gloo", verbose=False)
    model = build_model(spec["config"])
    weights = peer.read_safetensors(folder / "w.safetensors")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights.pop(name))
    assert not weights, f"left over: {list(weights)}"
    batches = peer.read_safetensors(folder / "b.safetensors")["tokens"].long()
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=spec["ds"])
    del model
    losses, times = [], []
    for step, batch in enumerate(batches):
        if step == 2 and counter:
            counter.restart()
        share = batch.shape[0] // RANKS
        dist.barrier()
        start = time.perf_counter()
        loss = engine(batch[rank * share:(rank + 1) * share])
        engine.backward(loss)
        engine.step()
        times.append(time.perf_counter() - start)
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        losses.append(mean.item() / RANKS)
        del loss
    return losses, times


COUNTING_ALLOCATOR = r"""
#include <pthread.h>
#include <torch/extension.h>
#include <atomic>
#include <cstdlib>
#include <cstring>

// Counts the live bytes of tensors on the CPU. What gloo's own threads allocate, copies of what they send, is left out.
static std::atomic<long> live{0}, peak{0};

struct Block { void* data; long counted; };

static void release(void* context) {
  auto* block = static_cast<Block*>(context);
  live -= block->counted;
  std::free(block->data);
  delete block;
}

struct CountingAllocator : at::Allocator {
  at::DataPtr allocate(size_t n) override {
    char thread[32] = "";
    pthread_getname_np(pthread_self(), thread, sizeof thread);
    void* data = nullptr;
    if (n > 0 && posix_memalign(&data, 64, n) != 0) throw std::bad_alloc();
    auto* block = new Block{data, std::strstr(thread, "gloo") ? 0 : static_cast<long>(n)};
    const long now = live += block->counted;
    for (long seen = peak; now > seen && !peak.compare_exchange_weak(seen, now);) {}
    return {data, block, &release, at::Device(at::kCPU)};
  }
  void copy_data(void* to, const void* from, size_t n) const override { default_copy_data(to, from, n); }
};

static CountingAllocator counting;
void count_from_here() { c10::SetAllocator(c10::DeviceType::CPU, &counting, 255); }
void restart() { peak = live.load(); }
long peak_bytes() { return peak; }
"""


def load_allocator():
    from torch.utils.cpp_extension import load_inline
    return load_inline("counting_allocator", COUNTING_ALLOCATOR, functions=["count_from_here", "restart", "peak_bytes"])


def worker(path):
    """The rank's process: trains, and with "memory" counts every tensor's bytes."""
    import torch
    spec = json.loads(pathlib.Path(path).read_text())
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    counter = None
    if spec["memory"]:
        counter = load_allocator()
        counter.count_from_here()
    losses, times = train_deepspeed(spec, counter)
    peak = counter.peak_bytes() if counter else None
    print("RESULT " + json.dumps({"losses": losses, "times": times, "peak": peak}), flush=True)
    os._exit(0)  # a thread of DeepSpeed's offload is not joined at the end and would abort the process


def run_deepspeed(folder, config, ds, threads=1, memory=False):
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"folder": str(folder), "config": config, "ds": ds, "memory": memory}))
    processes = []
    for rank in range(RANKS):
        env = dict(os.environ, DS_ACCELERATOR="cpu", RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS),
                   LOCAL_SIZE=str(RANKS), MASTER_ADDR="127.0.0.1", MASTER_PORT="29733", OMP_NUM_THREADS=str(threads),
                   PATH=f"{peer.VENV / 'bin'}:{os.environ['PATH']}")
        processes.append(subprocess.Popen([sys.executable, __file__, "--worker", str(spec)], env=env, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    results = []
    for process in processes:
        out, err = process.communicate(timeout=1200)
        lines = [line for line in out.splitlines() if line.startswith("RESULT ")]
        if process.returncode != 0 or not lines:
            sys.exit(f"compare_deepspeed.py: DeepSpeed failed: {err.strip()[-1500:]}")
        results.append(json.loads(lines[-1][7:]))
    return results


# ---------------------------------------------------------------- comparisons

def run_ours(binary, folder, config, ds, steps, seq, extra=()):
    return peer.run_shardscope(binary, folder, config, ds, steps, seq, RANKS, extra)


def compare_losses(binary, steps):
    failures = 0
    config, seq, micro = dict(SMALL, n_layer=3, vocab_size=256), 64, 2
    print(f"{'mode':8} {'first':>9} {'last':>9}  {'largest relative difference':>27}")
    for mode in MODES:
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            ours = run_ours(binary, folder, config, ds_config(mode, micro), steps, seq)["losses"]
            theirs = run_deepspeed(folder, config, ds_config(mode, micro))[0]["losses"]
        worst = max(abs(a - b) / abs(b) for a, b in zip(ours, theirs))
        failures += worst > TOLERANCE
        print(f"zero {mode:6} {theirs[0]:9.5f} {theirs[-1]:9.5f}  {worst:27.2e}{'' if worst <= TOLERANCE else '  DIFFERENT'}",
              flush=True)
    return failures


def settled(times):
    return statistics.median(times[3:])


def compare_speed(binary, steps, rounds):
    """Ours and theirs in turn, so that a disturbance meets both; a thread per rank."""
    print(f"{'shape':6} {'mode':8} {'ours':>12} {'DeepSpeed':>12}  ratio of tokens/s   [{RANKS} ranks, 1 thread each]")
    for shape, (config, seq, micro) in SHAPES.items():
        for mode in MODES:
            ours, theirs = [], []
            with tempfile.TemporaryDirectory() as temporary:
                folder = pathlib.Path(temporary)
                for _ in range(rounds):
                    run = run_ours(binary, folder, config, ds_config(mode, micro), steps, seq, ("--threads", "1"))
                    ours.append(run["step_time_s"]["median"])
                    theirs.append(settled(run_deepspeed(folder, config, ds_config(mode, micro))[0]["times"]))
            a, b = statistics.median(ours), statistics.median(theirs)
            print(f"{shape:6} zero {mode:5} {a * 1e3:9.2f} ms {b * 1e3:9.2f} ms  {b / a:6.2f}", flush=True)


def compare_memory(binary):
    """Peak bytes of a rank's tensors. Few tokens, so that parameters, gradients and optimizer decide."""
    config, seq = dict(SMALL, n_embd=512, n_layer=4, n_head=8), 16
    print(f"{'mode':8} {'DeepSpeed, a rank':>24} {'predicted (deepspeed)':>22} {'error':>8} {'ours (textbook)':>16}")
    for mode in ("1", "2", "3"):
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            ds = ds_config(mode, 1)
            ds["zero_optimization"]["reduce_bucket_size"] = 5_000_000  # the default would be most of the memory
            predicted = run_ours(binary, folder, config, ds, 1, seq, ("--zero-mode", "deepspeed"))
            textbook = run_ours(binary, folder, config, ds, 4, seq)
            measured = max(r["peak"] for r in run_deepspeed(folder, config, ds, memory=True))
        total = lambda run: max(sum(sum(c.values()) for c in rank["memory_by_category"].values()) for rank in run["predicted"]["ranks"])
        p, t = total(predicted), total(textbook)
        print(f"zero {mode:6} {measured / 1e6:21.2f} MB {p / 1e6:19.2f} MB {(p / measured - 1) * 100:6.1f} % "
              f"{t / 1e6:13.2f} MB", flush=True)


def time_steps(step, count=8):
    times = []
    for _ in range(count):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    return min(times[2:])


def compare_adam(build):
    """AdamW alone on 50 M fp32 parameters in one tensor: best of several steps, by threads."""
    import torch
    os.environ.update(DS_ACCELERATOR="cpu", PATH=f"{peer.VENV / 'bin'}:{os.environ['PATH']}")
    from deepspeed.ops.adam import DeepSpeedCPUAdam
    count = 50_000_000
    for threads in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(threads)
        p = torch.randn(count).requires_grad_()
        p.grad = torch.randn(count)
        theirs = time_steps(DeepSpeedCPUAdam([p], lr=1e-4, weight_decay=0.01).step)
        fused = time_steps(torch.optim.AdamW([p], lr=1e-4, weight_decay=0.01, fused=True).step)
        output = subprocess.run([str(build / "tests" / "kernels_bench"), f"--benchmark_filter=Adam/.*50000000.*threads:{threads}$",
                                 "--benchmark_format=json"], capture_output=True, text=True).stdout
        print(f"AdamW of 50 M fp32, {threads} thread(s): DeepSpeed {theirs * 1e3:.1f} ms, PyTorch fused {fused * 1e3:.1f} ms; "
              f"ours: {output.strip() or 'see kernels_bench'}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="install PyTorch and DeepSpeed into build/peers-venv first")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--build", type=pathlib.Path, default=peer.ROOT / "build" / "release", help="a release build")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each side, in turn")
    parser.add_argument("--part", choices=("losses", "speed", "memory", "adam"), default="losses")
    options = parser.parse_args()
    if options.install:
        install()
    peer.enter_venv()
    if options.worker:
        worker(options.worker)
        return 0
    binary = options.build / "cli" / "shardscope"
    if not binary.exists():
        print(f"compare_deepspeed.py: {binary} is not there; build it first (./dev build)", file=sys.stderr)
        return 2
    if options.part == "losses":
        return 1 if compare_losses(binary, options.steps) else 0
    {"speed": lambda: compare_speed(binary, options.steps, options.rounds), "memory": lambda: compare_memory(binary),
     "adam": lambda: compare_adam(options.build)}[options.part]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
