#!/usr/bin/env python3
"""Trains a small Mixtral with Shardscope, its experts shared out between two ranks, and with Hugging Face's own
MixtralForCausalLM, from the same weights on the same batches, and compares the losses.

    tests/peers/compare_pytorch.py --install           # once
    build/peers-venv/bin/pip install transformers      # once
    tests/peers/compare_mixtral.py                     # exit code 1 if a loss differs by more than 1e-5 relative

The routers' loss is taken per layer (docs/moe.md); Hugging Face's own, over all layers at once, is shown beside it.
"""

import argparse
import pathlib
import sys
import tempfile

import compare_pytorch as peers

TOLERANCE = 1e-5  # relative, of a loss
STEPS, SEQ, MICRO_BATCH = 10, 64, 2


def fused_weights(model, w):
    """Our weights (one tensor per expert matrix, as the checkpoints have them) under the names of the module."""
    import torch
    state = {}
    for name in model.state_dict():
        block = name.split(".mlp.")[0] + ".block_sparse_moe."
        experts = range(model.config.num_local_experts)
        if name.endswith("gate_up_proj"):
            pairs = [[w[f"{block}experts.{e}.{m}.weight"] for m in ("w1", "w3")] for e in experts]
            state[name] = torch.stack([torch.cat(pair) for pair in pairs])
        elif name.endswith("experts.down_proj"):
            state[name] = torch.stack([w[f"{block}experts.{e}.w2.weight"] for e in experts])
        elif name.endswith("mlp.gate.weight"):
            state[name] = w[block + "gate.weight"]
        else:
            state[name] = w[name]
    return state


def train_huggingface(folder, config):
    """Losses by step with the routers' loss per layer, and what the first step's would be with it over all layers."""
    import torch
    import torch.nn.functional as F
    from transformers import MixtralConfig, MixtralForCausalLM
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func
    experts, top_k = config["num_local_experts"], config["num_experts_per_tok"]
    coefficient = config["router_aux_loss_coef"]
    options = {key: value for key, value in config.items() if key != "model_type"}
    model = MixtralForCausalLM(MixtralConfig(**options, attn_implementation="eager"))
    model.load_state_dict(fused_weights(model, peers.read_safetensors(folder / "w.safetensors")))
    optimizer = torch.optim.AdamW(model.parameters(), lr=peers.ADAM["lr"], betas=tuple(peers.ADAM["betas"]),
                                  eps=peers.ADAM["eps"], weight_decay=peers.ADAM["weight_decay"])
    losses, pooled = [], 0
    for step, batch in enumerate(peers.read_safetensors(folder / "b.safetensors")["tokens"].long()):
        optimizer.zero_grad()
        losses.append(0)
        parts = batch.split(MICRO_BATCH)
        for part in parts:
            out = model(part[:, :-1], output_router_logits=True)
            plain = F.cross_entropy(out.logits.reshape(-1, out.logits.shape[-1]), part[:, 1:].reshape(-1))
            routers = [load_balancing_loss_func((logits,), experts, top_k) for logits in out.router_logits]
            loss = (plain + coefficient * sum(routers) / len(routers)) / len(parts)
            loss.backward()
            losses[-1] += loss.item()
            if step == 0:
                together = load_balancing_loss_func(out.router_logits, experts, top_k)
                pooled += (plain + coefficient * together).item() / len(parts)
        torch.nn.utils.clip_grad_norm_(model.parameters(), peers.CLIP)
        optimizer.step()
    return losses, pooled


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=peers.ROOT / "build" / "release", help="a release build")
    options = parser.parse_args()
    peers.enter_venv()
    import torch
    import transformers
    print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}")
    failures = 0
    for layers in (1, 3):
        config = dict(peers.MIXTRAL, num_hidden_layers=layers)
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            ours = peers.run_shardscope(options.build / "cli" / "shardscope", folder, config,
                                        peers.ds_config(1, MICRO_BATCH, 1), STEPS, SEQ, 2, ep=2)["losses"]
            theirs, pooled = train_huggingface(folder, config)
        worst = max(abs(a - b) / b for a, b in zip(ours, theirs, strict=True))
        failures += worst > TOLERANCE
        print(f"{layers} layers: loss {theirs[0]:.5f} -> {theirs[-1]:.5f}, largest relative difference {worst:.1e}; "
              f"the first with the routers' loss over all layers at once: {pooled:.5f}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
