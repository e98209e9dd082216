"""A training job that knows nothing of Shardscope: what `record` is tried on where there is a GPU and PyTorch.

python3 train_job.py [STEPS] [--profiler OUT.json]     one rank; under torchrun, as many as it starts

Prints one line of JSON: seconds of each step, as the host sees them with the device idle at both ends, and how many
kernels torch.profiler saw (with --profiler). A GPT of 124 million parameters in bf16, DistributedDataParallel over NCCL,
two data-loader workers, copies from pinned memory, NVTX ranges, and a CUDA graph replayed at the end.
"""

import json
import os
import sys
import time

import torch
import torch.distributed as dist
import torch.nn as nn
import torch.nn.functional as F

BATCH, SEQ, WIDTH, LAYERS, HEADS, VOCAB = 8, 1024, 768, 12, 12, 50304


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.n1, self.n2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.n1(x)).view(b, t, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(a.transpose(1, 2).reshape(b, t, -1))
        return x + self.down(F.gelu(self.up(self.n2(x))))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(VOCAB, WIDTH)
        self.blocks = nn.Sequential(*[Block() for _ in range(LAYERS)])
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCAB, bias=False)

    def forward(self, tokens):
        logits = self.head(self.norm(self.blocks(self.embed(tokens[:, :-1]))))
        return F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())


class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 1 << 20

    def __getitem__(self, i):
        return torch.randint(0, VOCAB, (SEQ + 1,), generator=torch.Generator().manual_seed(i))


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdigit() else 20
    trace = sys.argv[sys.argv.index("--profiler") + 1] if "--profiler" in sys.argv else None
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511"}.items():
        os.environ.setdefault(name, value)
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    torch.manual_seed(1)
    dist.init_process_group("nccl", device_id=device)
    model = nn.parallel.DistributedDataParallel(Model().to(device))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    loader = iter(torch.utils.data.DataLoader(Data(), batch_size=BATCH, num_workers=2, pin_memory=True))
    seconds = []

    def train(step):
        torch.cuda.synchronize()
        start = time.perf_counter()
        torch.cuda.nvtx.range_push(f"step {step}")
        tokens = next(loader).to(device, non_blocking=True)
        torch.cuda.nvtx.range_push("forward")
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = model(tokens)
        torch.cuda.nvtx.range_pop()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        torch.cuda.nvtx.range_pop()
        seconds.append(time.perf_counter() - start)

    for step in range(5):
        train(step)
    kernels = None
    if trace:
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
            for step in range(5, steps):
                train(step)
        profiler.export_chrome_trace(trace)
        with open(trace) as file:
            events = json.load(file)["traceEvents"]
        kernels = sum(1 for event in events if event.get("cat") == "kernel")
    else:
        for step in range(5, steps):
            train(step)
    total = torch.ones(1 << 20, device=device)
    for _ in range(10):
        dist.all_reduce(total)
    graph, x = torch.cuda.CUDAGraph(), torch.ones(1 << 20, device=device)
    with torch.cuda.graph(graph):
        y = (x * 2).sin().sum()
    for _ in range(10):
        graph.replay()
    torch.cuda.synchronize()
    print(json.dumps({"steps": steps, "warm_up": 5, "seconds": seconds, "kernels": kernels, "loss_after": float(y)}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
