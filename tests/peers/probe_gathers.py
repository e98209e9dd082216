#!/usr/bin/env python3
"""What PyTorch's allocator reserves when parameters are gathered as DeepSpeed's ZeRO-3 does, on one GPU.

    tests/peers/probe_gathers.py

Gathers run on a stream of their own (a fill in place of NCCL, then DeepSpeed's torch.cat into each parameter), at most
two of them unfinished, and a parameter is given back with record_stream() as soon as the host has launched its layer:
partition_parameters.py, partitioned_param_coordinator.py. Prints, for hosts that take a part of the device's time, what
is allocated and reserved beyond activations; and rates of pinned copies, one way and both ways.
"""

import time

import torch

LAYERS, HIDDEN, RANKS = 32, 4096, 8
SHAPES = [(HIDDEN, 3 * HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, 4 * HIDDEN), (4 * HIDDEN, HIDDEN)]


def forward(x, side, host_s):
    main, events, begin = torch.cuda.current_stream(), [], time.perf_counter()
    for layer in range(LAYERS):
        weights = []
        with torch.cuda.stream(side):
            if len(events) > 2:
                events.pop(0).synchronize()
            for m, n in SHAPES:
                flat = torch.empty(m * n, dtype=x.dtype, device="cuda").fill_(1e-3)
                weights.append(torch.cat(list(flat.chunk(RANKS))).view(m, n))
            event = torch.cuda.Event()
            event.record()
            events.append(event)
        main.wait_stream(side)
        x = ((x @ weights[0])[:, :HIDDEN] @ weights[1] @ weights[2]) @ weights[3]
        for w in weights:
            w.record_stream(main)
        del weights, flat, w
        while time.perf_counter() - begin < (layer + 1) * host_s:
            pass
    launched = time.perf_counter() - begin
    torch.cuda.synchronize()
    return launched, time.perf_counter() - begin


def reserved(tokens, side, host_s):
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    x = torch.zeros(tokens, HIDDEN, dtype=torch.bfloat16, device="cuda")
    launched, all_s = forward(x, side, host_s)
    return (launched, all_s, torch.cuda.max_memory_allocated() / 1e9, torch.cuda.max_memory_reserved() / 1e9)


def copies():
    n = 1 << 30
    host, host2 = (torch.empty(n, dtype=torch.uint8, pin_memory=True) for _ in range(2))
    dev, dev2 = (torch.empty(n, dtype=torch.uint8, device="cuda") for _ in range(2))
    streams = [torch.cuda.Stream(), torch.cuda.Stream()]
    for name, down, up in (("down", 1, 0), ("up", 0, 1), ("both", 1, 1)) * 2:
        torch.cuda.synchronize()
        begin = time.perf_counter()
        for _ in range(5):
            with torch.cuda.stream(streams[0]):
                down and host.copy_(dev, non_blocking=True)
            with torch.cuda.stream(streams[1]):
                up and dev2.copy_(host2, non_blocking=True)
        torch.cuda.synchronize()
        print(f"copy {name}: {5 * n / (time.perf_counter() - begin) / 1e9:.1f} GB/s each way")


print(torch.cuda.get_device_name(), torch.__version__, sum(m * n for m, n in SHAPES) * LAYERS * 2 / 1e9, "GB of weights")
own, same = torch.cuda.Stream(), torch.cuda.current_stream()
reserved(4096, own, 0)
for tokens in (1024, 4096, 16384):
    print(tokens, "one stream", *(f"{v:.3f}" for v in reserved(tokens, same, 0)))
    whole = reserved(tokens, own, 0)[1]
    for part in (0, 0.25, 0.5, 0.75, 1.25):
        print(tokens, "host", part, *(f"{v:.3f}" for v in reserved(tokens, own, part * whole / LAYERS)))
copies()
