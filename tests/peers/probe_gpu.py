#!/usr/bin/env python3
"""Times single kernels and single transformer blocks on a GPU through PyTorch, for the device constants of the closed form.

    tests/peers/probe_gpu.py --out probe.csv [--part matmul,attention,elements,copies,launch,blocks,memory] [--minutes 4]

Every line of the result is one measurement: part, name, dtype, sizes, seconds (median of repeats, by CUDA events, over
operands that rotate through more than the L2 cache), and what bounds it. Needs a GPU and PyTorch with CUDA; nothing of
Shardscope's build or tests needs this. data/calibration/ holds what it gave, with device, driver and versions.
"""

import argparse
import csv
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

ROTATE_BYTES = 256 << 20
rows = []


def record(part, name, dtype, sizes, seconds, flops=0.0, traffic=0.0):
    rows.append({"part": part, "name": name, "dtype": dtype, "sizes": " ".join(str(s) for s in sizes),
                 "seconds": f"{seconds:.9f}", "flops": f"{flops:.0f}", "bytes": f"{traffic:.0f}"})


def timed(function, repeats=7, least_s=0.004):
    """Median seconds of one call; several calls between two events so that launches do not show."""
    function()
    torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    torch.cuda.synchronize()
    once = max(time.perf_counter() - start, 1e-6)
    calls = max(1, min(200, int(least_s / once)))
    samples = []
    for _ in range(repeats):
        a, b = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        a.record()
        for _ in range(calls):
            function()
        b.record()
        torch.cuda.synchronize()
        samples.append(a.elapsed_time(b) * 1e-3 / calls)
    return statistics.median(samples)


class Rotating:
    """Copies of the operands, so that each call finds them in memory and not in the cache."""

    def __init__(self, make, each_bytes):
        self.items = [make() for _ in range(max(1, min(8, int(ROTATE_BYTES / max(each_bytes, 1)) + 1)))]
        self.next = 0

    def __call__(self):
        self.next = (self.next + 1) % len(self.items)
        return self.items[self.next]


SITES = [(3, 1), (1, 1), (4, 1), (1, 4)]  # n and k in units of hidden


def matmul_shapes():
    for hidden in (768, 1024, 2048, 4096, 5120, 8192, 12288):
        for tp in (1, 2, 8):
            for n, k in SITES:
                n_size, k_size = (n * hidden // tp, k * hidden) if n >= k and not (n == 1 and k == 1) else (n * hidden, k * hidden // tp)
                for m in (512, 1024, 2048, 4096, 8192, 16384):
                    if 2.0 * m * n_size * k_size < 4e13:
                        yield m, n_size, k_size
    for m in (2048, 8192):
        yield m, 32000, 4096
        yield m, 128256, 4096
        yield m, 50257, 1024


def probe_matmul(deadline):
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float16):
        name = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float8_e4m3fn: "fp8"}[dtype]
        shapes = list(dict.fromkeys(matmul_shapes()))
        if dtype != torch.bfloat16:
            shapes = shapes[::5]
        for m, n, k in shapes:
            if time.time() > deadline:
                return
            size = torch.tensor([], dtype=dtype).element_size()
            traffic = size * (m * k + n * k) + 2 * m * n
            try:
                if dtype == torch.float8_e4m3fn:
                    one = torch.ones((), device="cuda")
                    pool = Rotating(lambda: (torch.randn(m, k, device="cuda").to(dtype), torch.randn(n, k, device="cuda").to(dtype)), traffic)
                    run = lambda: (lambda x: torch._scaled_mm(x[0], x[1].t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16))(pool())
                    seconds = timed(run)
                    record("matmul", "forward", name, (m, n, k), seconds, 2.0 * m * n * k, traffic)
                    continue
                pool = Rotating(lambda: (torch.randn(m, k, device="cuda", dtype=dtype), torch.randn(n, k, device="cuda", dtype=dtype),
                                         torch.randn(m, n, device="cuda", dtype=dtype)), traffic)
                record("matmul", "forward", name, (m, n, k), timed(lambda: (lambda x: x[0] @ x[1].t())(pool())), 2.0 * m * n * k, traffic)
                if m in (2048, 8192):
                    record("matmul", "input", name, (m, k, n), timed(lambda: (lambda x: x[2] @ x[1])(pool())), 2.0 * m * n * k, traffic)
                    record("matmul", "weight", name, (n, k, m), timed(lambda: (lambda x: x[2].t() @ x[0])(pool())), 2.0 * m * n * k, traffic)
            except (RuntimeError, torch.cuda.OutOfMemoryError) as error:
                print(f"{name} {m} {n} {k}: {str(error).splitlines()[0]}", file=sys.stderr)


def probe_attention(deadline):
    from torch.nn.attention import SDPBackend, sdpa_kernel
    for backend, label in ((SDPBackend.FLASH_ATTENTION, "flash"), (SDPBackend.CUDNN_ATTENTION, "cudnn")):
        for dim in (64, 128):
            for seq in (512, 1024, 2048, 4096, 8192, 16384):
                for tokens, heads in ((8192, 16), (16384, 32), (8192, 8)):
                    batch = max(1, tokens // seq)
                    if time.time() > deadline:
                        return
                    flops = 4.0 * batch * heads * seq * seq * dim / 2
                    try:
                        q, k, v = (torch.randn(batch, heads, seq, dim, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
                        with sdpa_kernel(backend):
                            call = lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)
                            out = call()
                            grad = torch.randn_like(out)
                            with torch.no_grad():
                                record("attention", f"{label}_forward", "bf16", (batch, heads, seq, dim), timed(call), flops)
                            back = lambda: torch.autograd.grad(out, (q, k, v), grad, retain_graph=True)
                            record("attention", f"{label}_backward", "bf16", (batch, heads, seq, dim), timed(back), 2.5 * flops)
                    except RuntimeError as error:
                        print(f"{label} {batch} {heads} {seq} {dim}: {str(error).splitlines()[0]}", file=sys.stderr)


def probe_elements(deadline):
    for hidden in (1024, 4096, 8192):
        for tokens in (1024, 4096, 16384):
            if time.time() > deadline:
                return
            n = hidden * tokens
            pool = Rotating(lambda: (torch.randn(tokens, hidden, device="cuda", dtype=torch.bfloat16),
                                     torch.randn(tokens, hidden, device="cuda", dtype=torch.bfloat16)), 4 * n)
            weight = torch.ones(hidden, device="cuda", dtype=torch.bfloat16)
            cases = {"add": (lambda x: x[0] + x[1], 6), "gelu": (lambda x: F.gelu(x[0]), 4),
                     "layer_norm": (lambda x: F.layer_norm(x[0], (hidden,), weight, weight), 4),
                     "rms_norm": (lambda x: F.rms_norm(x[0], (hidden,), weight), 4), "copy": (lambda x: x[0].clone(), 4),
                     "cast_fp32": (lambda x: x[0].float(), 6), "softmax": (lambda x: F.softmax(x[0], -1), 4),
                     "dropout": (lambda x: F.dropout(x[0], 0.1), 5)}
            for name, (function, each) in cases.items():
                record("elements", name, "bf16", (tokens, hidden), timed(lambda: function(pool())), 0, each * n)
    for vocab in (32000, 50257, 128256):
        logits = torch.randn(4096, vocab, device="cuda", dtype=torch.bfloat16, requires_grad=True)
        target = torch.randint(0, vocab, (4096,), device="cuda")
        record("elements", "cross_entropy_forward", "bf16", (4096, vocab), timed(lambda: F.cross_entropy(logits.float(), target)), 0, 2.0 * 4096 * vocab)
        loss = F.cross_entropy(logits.float(), target)
        record("elements", "cross_entropy_backward", "bf16", (4096, vocab), timed(lambda: torch.autograd.grad(loss, logits, retain_graph=True)), 0, 2.0 * 4096 * vocab)
        del logits, loss
    for count in (50_000_000, 400_000_000):
        p = torch.randn(count, device="cuda").requires_grad_()
        p.grad = torch.randn(count, device="cuda")
        adam = torch.optim.AdamW([p], lr=1e-4, fused=True)
        record("elements", "adamw_fused", "fp32", (count,), timed(adam.step), 0, 28.0 * count)
        del adam, p


def probe_copies(deadline):
    for mib in (1, 16, 256):
        size = mib << 20
        host, device = torch.empty(size, dtype=torch.uint8, pin_memory=True), torch.empty(size, dtype=torch.uint8, device="cuda")
        plain = torch.empty(size, dtype=torch.uint8)
        record("copies", "to_device_pinned", "u8", (size,), timed(lambda: device.copy_(host, non_blocking=True)), 0, size)
        record("copies", "to_host_pinned", "u8", (size,), timed(lambda: host.copy_(device, non_blocking=True)), 0, size)
        record("copies", "to_device_pageable", "u8", (size,), timed(lambda: device.copy_(plain)), 0, size)


def probe_launch(deadline):
    x = torch.zeros(16, device="cuda")
    for name, function in {"add_inplace": lambda: x.add_(1), "linear_tiny": lambda: torch.mm(y, y)}.items():
        y = torch.zeros(16, 16, device="cuda")
        function()
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(2000):
            function()
        host = (time.perf_counter() - start) / 2000
        torch.cuda.synchronize()
        record("launch", name + "_host", "fp32", (), host)
        record("launch", name + "_device", "fp32", (), (time.perf_counter() - start) / 2000)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(200):
            x.add_(1)
    record("launch", "in_graph", "fp32", (), timed(graph.replay) / 200)


class Block(torch.nn.Module):
    def __init__(self, hidden, heads, dim=None):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = torch.nn.LayerNorm(hidden), torch.nn.LayerNorm(hidden)
        self.qkv, self.out = torch.nn.Linear(hidden, 3 * hidden), torch.nn.Linear(hidden, hidden)
        self.up, self.down = torch.nn.Linear(hidden, 4 * hidden), torch.nn.Linear(4 * hidden, hidden)

    def forward(self, x):
        b, s, h = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, s, 3, self.heads, h // self.heads).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, s, h))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def probe_blocks(deadline):
    """Eager blocks of GPT's shape, 4 in a row: seconds of one block's forward and backward, and bytes kept for backward."""
    layers = 4
    for hidden in (768, 1024, 2048, 4096, 8192):
        for batch, seq in ((1, 1024), (1, 2048), (4, 2048), (2, 4096)):
            if time.time() > deadline:
                return
            torch.cuda.empty_cache()
            model = torch.nn.Sequential(*(Block(hidden, hidden // 64 if hidden < 2048 else hidden // 128) for _ in range(layers))).cuda().bfloat16()
            x = torch.randn(batch, seq, hidden, device="cuda", dtype=torch.bfloat16, requires_grad=True)
            before = torch.cuda.memory_allocated()
            out = model(x)
            kept = (torch.cuda.memory_allocated() - before - out.numel() * 2) / layers
            out.backward(torch.ones_like(out))
            torch.cuda.reset_peak_memory_stats()

            def step():
                model(x).backward(torch.ones_like(x))

            with torch.no_grad():
                forward = timed(lambda: model(x)) / layers
            both = timed(step) / layers
            record("blocks", "forward", "bf16", (batch, seq, hidden), forward, 24.0 * batch * seq * hidden * hidden + 2.0 * batch * seq * seq * hidden)
            record("blocks", "forward_backward", "bf16", (batch, seq, hidden), both)
            record("blocks", "kept", "bf16", (batch, seq, hidden), 0, 0, kept)
            del model, x, out


def used_bytes():
    out = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"], capture_output=True, text=True).stdout
    return float(out.split()[0]) * (1 << 20)


def probe_memory(deadline):
    free, total = torch.cuda.mem_get_info()
    record("memory", "context", "", (), 0, 0, used_bytes() - torch.cuda.memory_reserved())
    y = torch.randn(64, 64, device="cuda", dtype=torch.bfloat16)
    before = torch.cuda.memory_allocated()
    y @ y
    record("memory", "cublas_workspace", "", (), 0, 0, torch.cuda.memory_allocated() - before)
    record("memory", "context_after_cublas", "", (), 0, 0, used_bytes() - torch.cuda.memory_reserved())
    record("memory", "total", "", (), 0, 0, total)


PARTS = {"memory": probe_memory, "launch": probe_launch, "copies": probe_copies, "elements": probe_elements,
         "attention": probe_attention, "blocks": probe_blocks, "matmul": probe_matmul}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--part", default=",".join(PARTS))
    parser.add_argument("--minutes", type=float, default=4, help="stop starting new measurements after so long")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("probe_gpu.py: no GPU that PyTorch can use")
    deadline = time.time() + 60 * options.minutes
    properties = torch.cuda.get_device_properties(0)
    record("device", torch.cuda.get_device_name(0), f"torch {torch.__version__}", (properties.multi_processor_count, properties.total_memory), 0)
    for name in options.part.split(","):
        start = time.time()
        PARTS[name](deadline)
        print(f"{name}: {time.time() - start:.0f} s, {len(rows)} lines", flush=True)
        torch.cuda.empty_cache()
    with open(options.out, "w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
