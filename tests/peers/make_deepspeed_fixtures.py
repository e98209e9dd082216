#!/usr/bin/env python3
"""Writes the small DeepSpeed-like checkpoints that core/engine/checkpoint/deepspeed/deepspeed_test.cpp reads.

    build/peers-venv/bin/python tests/peers/make_deepspeed_fixtures.py     # needs PyTorch and DeepSpeed (compare_deepspeed.py --install)

The files have DeepSpeed 0.19's layout (keys, flattening, padding, an object of one of its classes) and values that the
test can compute: element i of tensor number t is t + i / 1024, its exp_avg the same negated, its exp_avg_sq half of it.
"""

import collections
import os
import pathlib
import shutil

os.environ["DS_ACCELERATOR"] = "cpu"
import torch  # noqa: E402
from deepspeed.runtime.fp16.loss_scaler import LossScaler  # noqa: E402

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "core/engine/checkpoint/deepspeed/fixtures"
V, H, P, I = 11, 4, 8, 6
BLOCK = [("ln_1.weight", (H,)), ("ln_1.bias", (H,)), ("attn.c_attn.weight", (H, 3 * H)), ("attn.c_attn.bias", (3 * H,)),
         ("attn.c_proj.weight", (H, H)), ("attn.c_proj.bias", (H,)), ("ln_2.weight", (H,)), ("ln_2.bias", (H,)),
         ("mlp.c_fc.weight", (H, I)), ("mlp.c_fc.bias", (I,)), ("mlp.c_proj.weight", (I, H)), ("mlp.c_proj.bias", (H,))]
TENSORS = ([("transformer.wte.weight", (V, H)), ("transformer.wpe.weight", (P, H))] +
           [(f"transformer.h.0.{name}", shape) for name, shape in BLOCK] +
           [("transformer.ln_f.weight", (H,)), ("transformer.ln_f.bias", (H,))])
NUMBER = {name: t for t, (name, _) in enumerate(TENSORS)}
STEPS, SAMPLES = 7, 56


def value(name, shape):
    n = torch.Size(shape).numel()
    return (NUMBER[name] + torch.arange(n, dtype=torch.float32) / 1024).reshape(shape)


def roles(flat):
    return flat.clone(), -flat, flat / 2


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def model_states(groups, module):
    return {"module": module, "buffer_names": [], "optimizer": None, "frozen_param_shapes": None,
            "frozen_param_fragments": None, "shared_params": {"lm_head.weight": "transformer.wte.weight"},
            "param_shapes": [collections.OrderedDict((name, torch.Size(shape)) for name, shape in group) for group in groups],
            "lr_scheduler": None, "sparse_tensor_module_names": set(), "skipped_steps": 0, "global_steps": STEPS,
            "global_samples": SAMPLES, "dp_world_size": 2, "mp_world_size": 1, "ds_version": "0.19.8"}


def optimizer_file(zero_stage, ranks, flats, key, optimizer_key, extra):
    """`flats`: this rank's value of every group, and the moments' (which keep the padding)."""
    values = [value for value, _, _ in flats]
    state = {g: {"step": torch.tensor(float(STEPS)), "exp_avg": m, "exp_avg_sq": v} for g, (_, m, v) in enumerate(flats)}
    optimizer = {"state": state, "param_groups": [{"lr": 1e-3, "params": [g]} for g in range(len(flats))]}
    return {"optimizer_state_dict": {"loss_scaler": LossScaler(scale=1.0), "dynamic_loss_scale": False, "overflow": False,
                                     "zero_stage": zero_stage, "partition_count": ranks, optimizer_key: optimizer,
                                     key: values, **extra}, "ds_config": {}, "ds_version": "0.19.8"}


def write_stage2(folder, ranks):
    """Matrices and vectors are two groups; each is padded to a multiple of 2 * ranks, its values without the padding."""
    groups = [[t for t in TENSORS if len(t[1]) == 2], [t for t in TENSORS if len(t[1]) == 1]]
    paddings = [[3 if i == 1 else 0 for i in range(len(group))] for group in groups]
    save(folder / "mp_rank_00_model_states.pt",
         model_states(groups, collections.OrderedDict((n, value(n, s).bfloat16()) for n, s in TENSORS)))
    flats = [[] for _ in range(ranks)]
    for group, padding in zip(groups, paddings):
        flat = torch.cat([torch.cat([value(n, s).flatten(), torch.full((p,), 99.0)]) for (n, s), p in zip(group, padding)])
        length = flat.numel()
        flat = torch.cat([flat, torch.full((-length % (2 * ranks),), 99.0)])
        size = flat.numel() // ranks
        for r in range(ranks):
            part = flat[r * size:(r + 1) * size]
            v, m, s = roles(part)
            flats[r].append((v[:max(0, min(size, length - r * size))].clone(), m, s))
    for r in range(ranks):
        save(folder / f"zero_pp_rank_{r}_mp_rank_00_optim_states.pt",
             optimizer_file(2, [ranks] * len(groups), flats[r], "single_partition_of_fp32_groups", "base_optimizer_state",
                            {"param_alignment_paddings": paddings}))


def write_stage3(folder, ranks):
    """Two sub-groups; every tensor is cut into ceil(n / ranks), the last part padded."""
    groups = [TENSORS[:6], TENSORS[6:]]
    for r in range(ranks):
        save(folder / f"zero_pp_rank_{r}_mp_rank_00_model_states.pt", model_states(groups, collections.OrderedDict()))
        flats = []
        for group in groups:
            parts = []
            for name, shape in group:
                flat = value(name, shape).flatten()
                size = -(-flat.numel() // ranks)
                flat = torch.cat([flat, torch.full((size * ranks - flat.numel(),), 99.0)])
                parts.append(flat[r * size:(r + 1) * size])
            flats.append(roles(torch.cat(parts)))
            flats[-1][0].ds_id = f"{len(flats)}"  # an attribute changes how torch pickles the tensor
        save(folder / f"zero_pp_rank_{r}_mp_rank_00_optim_states.pt",
             optimizer_file(3, ranks, flats, "fp32_flat_groups", "optimizer_state_dict", {}))


def write_universal(folder):
    save(folder / "mp_rank_00_model_states.pt", model_states([TENSORS], collections.OrderedDict()))
    for name, shape in TENSORS[::8]:  # enough to see the layout
        for file, content in zip(("fp32", "exp_avg", "exp_avg_sq"), roles(value(name, shape))):
            flat = content.flatten() if name == "transformer.wte.weight" else content  # as made from stage 3
            save(folder / "zero" / name / f"{file}.pt", {"param": flat})
        save(folder / "zero" / name / "step.pt", torch.tensor(float(STEPS)))


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_stage2(FOLDER / "stage2" / "global_step7", 2)
    (FOLDER / "stage2" / "latest").write_text("global_step7")
    write_stage3(FOLDER / "stage3", 3)
    write_universal(FOLDER / "universal")
    config = (f'{{"model_type": "gpt2", "vocab_size": {V}, "n_embd": {H}, "n_layer": 1, "n_head": 1, "n_positions": {P}, '
              f'"n_inner": {I}}}\n')
    (FOLDER / "config.json").write_text(config)


if __name__ == "__main__":
    main()
