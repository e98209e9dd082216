#!/usr/bin/env python3
"""Weights and checkpoints to and from Hugging Face transformers and DeepSpeed.

    tests/peers/compare_transformers.py --install           # once: PyTorch, transformers, DeepSpeed under build/
    tests/peers/compare_transformers.py                     # weights out and in: the same loss on both sides
    tests/peers/compare_transformers.py --part deepspeed    # DeepSpeed's checkpoints of ZeRO 1, 2, 3 read by us

`weights`: a model of ours is trained, exported and loaded by transformers, which must compute the loss of our next step;
a model of transformers is saved and trained on by us, whose first loss must be transformers'. `deepspeed`: two CPU ranks
of DeepSpeed train and save; what we export is compared bit for bit with what DeepSpeed's own zero_to_fp32 makes of it,
and we go on from the checkpoint beside DeepSpeed. Exit codes: 0 all equal, 1 a difference, 2 cannot run.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import compare_pytorch as peer  # noqa: E402

TOLERANCE = 1e-4  # relative, of a loss
SEQ, MICRO, RANKS = 64, 4, 2
QWEN2 = dict(peer.LLAMA, model_type="qwen2", tie_word_embeddings=True)
SHAPES = {"gpt2": peer.GPT2, "llama": peer.LLAMA, "qwen2": QWEN2}
DS = {"train_micro_batch_size_per_gpu": MICRO, "gradient_accumulation_steps": 1, "gradient_clipping": peer.CLIP,
      "optimizer": {"type": "AdamW", "params": peer.ADAM}}
CASES = (("gpt2", "1"), ("llama", "2"), ("gpt2", "3"), ("llama", "3"), ("llama", "1+bf16"), ("gpt2", "2+bf16"),
         ("llama", "3+bf16"))
NO_DROPOUT = {"attn_pdrop": 0, "embd_pdrop": 0, "resid_pdrop": 0}


def install():
    peer.install()
    subprocess.run([str(peer.VENV / "bin" / "pip"), "install", "--quiet", "deepspeed", "ninja", "setuptools",
                    "transformers"], check=True)


def run(command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"compare_transformers.py: {' '.join(map(str, command[:3]))} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


class Ours:
    """The command, in a folder with the model and the training configuration."""

    def __init__(self, binary, folder, config):
        self.binary, self.folder = binary, folder
        (folder / "ours.json").write_text(json.dumps(config))
        (folder / "ds.json").write_text(json.dumps(DS))

    def train(self, steps, *extra, ranks=1, micro=MICRO):
        return json.loads(run([self.binary, "train", "--model", self.folder / "ours.json", "--deepspeed",
                               self.folder / "ds.json", "--ranks", ranks, "--micro-batch", micro, "--seq", SEQ, "--steps",
                               steps, "--quiet", "--json", *extra]))

    def export(self, checkpoint, *extra):
        output = self.folder / f"out{len(list(self.folder.glob('out*')))}"
        run([self.binary, "weights", checkpoint, "-o", output, *extra])
        return output

    def batches(self, steps, ranks=1):
        self.train(steps, "--dump-batches", self.folder / "b.safetensors", ranks=ranks, micro=MICRO)
        return peer.read_safetensors(self.folder / "b.safetensors")["tokens"].long()


def loss_of(model, batch):
    import torch
    with torch.no_grad():
        logits = model(input_ids=batch[:, :-1]).logits.float()
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).item()


def report(what, a, b, tolerance=TOLERANCE):
    difference = abs(a - b) / abs(b)
    print(f"{what:58} {a:.6f}  {b:.6f}  {difference:.1e}{'' if difference <= tolerance else '  DIFFERENT'}")
    return 0 if difference <= tolerance else 1


# ---------------------------------------------------------------- weights

def compare_weights(binary):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    failures = 0
    print(f"{'':58} {'ours':8}  {'theirs':8}  relative difference")
    for name, config in SHAPES.items():
        with tempfile.TemporaryDirectory() as path:
            folder = pathlib.Path(path)
            ours = Ours(binary, folder, config)
            batches = ours.batches(4)
            losses = ours.train(4)["losses"]
            ours.train(3, "--checkpoint", folder / "ckpt", ranks=2, micro=MICRO // 2)
            for dtype, tolerance in (("fp32", TOLERANCE), ("bf16", 5e-3)):
                out = ours.export(folder / "ckpt", "--dtype", dtype, "--file-gb", "0.001")
                model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
                failures += report(f"{name}: trained by us, exported in {dtype}, loss of step 4", losses[3],
                                   loss_of(model, batches[3]), tolerance)
            torch.manual_seed(1)
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).eval()
            for dtype in (torch.float32, torch.bfloat16, torch.float16):
                saved = folder / str(dtype)
                model.to(dtype).save_pretrained(saved, max_shard_size="1MB")
                again = AutoModelForCausalLM.from_pretrained(saved, dtype=torch.float32).eval()
                first = ours.train(1, "--weights", saved)["losses"][0]
                failures += report(f"{name}: saved by transformers in {str(dtype)[6:]}, first loss", first,
                                   loss_of(again, batches[0]))
    return failures


# ---------------------------------------------------------------- DeepSpeed

def ds_config(mode):
    stage, _, precision = mode.partition("+")
    config = dict(DS, zero_optimization={"stage": int(stage), "sub_group_size": 60000})
    if precision:
        config[precision] = {"enabled": True}
    return config


def worker(path):
    """One DeepSpeed rank: trains on the first batches, saves, and says the losses of the rest."""
    import deepspeed
    import torch
    import torch.distributed as dist
    from transformers import AutoConfig, AutoModelForCausalLM
    spec = json.loads(pathlib.Path(path).read_text())
    folder, rank = pathlib.Path(spec["folder"]), int(os.environ["RANK"])
    deepspeed.init_distributed(dist_backend="gloo", verbose=False)
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**spec["config"]))
    engine, *_ = deepspeed.initialize(model=model, model_parameters=model.parameters(), config=spec["ds"])
    losses = []
    for step, batch in enumerate(peer.read_safetensors(folder / "b.safetensors")["tokens"].long()):
        if step == spec["save"]:
            engine.save_checkpoint(str(folder / "theirs"))
        share = batch.shape[0] // RANKS
        mine = batch[rank * share:(rank + 1) * share]
        logits = engine(input_ids=mine[:, :-1]).logits.float()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), mine[:, 1:].flatten())
        engine.backward(loss)
        engine.step()
        mean = loss.detach().clone()
        dist.all_reduce(mean)
        losses.append(mean.item() / RANKS)
    print("RESULT " + json.dumps(losses), flush=True)


def run_deepspeed(folder, config, ds, save):
    spec = folder / "spec.json"
    spec.write_text(json.dumps({"folder": str(folder), "config": config, "ds": ds, "save": save}))
    processes = []
    for rank in range(RANKS):
        env = dict(os.environ, DS_ACCELERATOR="cpu", RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(RANKS),
                   LOCAL_SIZE=str(RANKS), MASTER_ADDR="127.0.0.1", MASTER_PORT="29734", OMP_NUM_THREADS="1",
                   PATH=f"{peer.VENV / 'bin'}:{os.environ['PATH']}")
        processes.append(subprocess.Popen([sys.executable, __file__, "--worker", str(spec)], env=env, text=True,
                                          stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    outputs = [process.communicate(timeout=1200) for process in processes]
    lines = [line for line in outputs[0][0].splitlines() if line.startswith("RESULT ")]
    if any(process.returncode for process in processes) or not lines:
        sys.exit(f"compare_transformers.py: DeepSpeed failed: {outputs[0][1].strip()[-1500:]}")
    return json.loads(lines[-1][7:])


def count_different(ours, reference):
    """Tensors of our export that are not DeepSpeed's, bit for bit."""
    import torch
    from safetensors.torch import load_file
    mine = {}
    for file in sorted(ours.glob("*.safetensors")):
        mine.update(load_file(file))
    wanted = {name: tensor for name, tensor in reference.items() if name in mine}
    assert set(mine) == set(wanted), set(mine) ^ set(wanted)
    return sum(not torch.equal(mine[name], wanted[name].float()) for name in mine)


def compare_deepspeed(binary):
    os.environ["DS_ACCELERATOR"] = "cpu"
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
    failures, save, steps = 0, 3, 6
    for name, mode in CASES:
        with tempfile.TemporaryDirectory() as path:
            folder = pathlib.Path(path)
            ours = Ours(binary, folder, SHAPES[name])
            ours.batches(steps, ranks=RANKS)
            losses = run_deepspeed(folder, dict(SHAPES[name], **NO_DROPOUT), ds_config(mode), save)
            theirs = folder / "theirs"
            out = ours.export(theirs, "--model", folder / "ours.json")
            wrong = count_different(out, get_fp32_state_dict_from_zero_checkpoint(str(theirs)))
            rest = ours.train(steps, "--resume", theirs, ranks=RANKS)["losses"]
            print(f"{name} ZeRO {mode}: {wrong} tensors differ from zero_to_fp32's")
            failures += wrong
            for step, (a, b) in enumerate(zip(rest, losses[save:]), save + 1):
                failures += report(f"{name} ZeRO {mode}: loss of step {step}, gone on from theirs", a, b,
                                   TOLERANCE if "+" not in mode else 2e-2)
            failures += compare_universal(ours, folder, theirs, rest, name, mode)
    return failures


def compare_universal(ours, folder, theirs, rest, name, mode):
    """The same after DeepSpeed's own conversion."""
    tag = (theirs / "latest").read_text().strip()
    universal = folder / "universal"
    run([sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--input_folder", theirs / tag, "--output_folder",
         universal, "--inject_missing_state"], env=dict(os.environ, DS_ACCELERATOR="cpu"))
    losses = ours.train(6, "--resume", universal, ranks=RANKS)["losses"]
    same = losses == rest
    print(f"{name} ZeRO {mode}: universal folder {'gives the same bits' if same else 'DIFFERENT'}")
    return 0 if same else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="install what is compared with into build/peers-venv")
    parser.add_argument("--build", type=pathlib.Path, default=peer.ROOT / "build" / "release", help="a release build")
    parser.add_argument("--part", choices=("weights", "deepspeed", "all"), default="weights")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.install:
        install()
    peer.enter_venv()
    if options.worker:
        worker(options.worker)
        return 0
    binary = (options.build / "cli" / "shardscope").resolve()
    if not binary.exists():
        print(f"compare_transformers.py: {binary} is not there; build it first (./dev build)", file=sys.stderr)
        return 2
    import torch
    import transformers
    print(f"PyTorch {torch.__version__}, transformers {transformers.__version__}")
    failures = 0 if options.part == "deepspeed" else compare_weights(binary)
    if options.part != "weights":
        failures += compare_deepspeed(binary)
    print("all agree" if failures == 0 else f"{failures} differences")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
