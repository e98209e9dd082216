#!/usr/bin/env python3
"""The job that dump_cupti.cpp watches: a few kernels, copies both ways, NVTX ranges, a CUDA graph, an all-reduce of one rank."""

import os

import torch
import torch.distributed as dist

os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
os.environ.setdefault("MASTER_PORT", "29741")
dist.init_process_group("nccl", rank=0, world_size=1, device_id=torch.device("cuda:0"))
model = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.GELU(), torch.nn.Linear(512, 256)).cuda().bfloat16()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
host = torch.randn(64, 256, pin_memory=True)
side = torch.cuda.Stream()
for step in range(3):
    torch.cuda.nvtx.range_push(f"step {step}")
    x = host.to("cuda", non_blocking=True).bfloat16()
    torch.cuda.nvtx.range_push("forward")
    loss = model(x).float().square().mean()
    torch.cuda.nvtx.range_pop()
    torch.cuda.nvtx.range_push("backward")
    loss.backward()
    torch.cuda.nvtx.range_pop()
    with torch.cuda.stream(side):
        side.wait_stream(torch.cuda.current_stream())
        for p in model.parameters():
            dist.all_reduce(p.grad)
    torch.cuda.current_stream().wait_stream(side)
    optimizer.step()
    optimizer.zero_grad()
    print(step, loss.item(), flush=True)
    torch.cuda.nvtx.range_pop()
buffer = torch.zeros(1024, device="cuda")
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    for _ in range(4):
        buffer.add_(1)
for _ in range(3):
    graph.replay()
torch.cuda.synchronize()
back = buffer.cpu()
dist.destroy_process_group()
