#include "simulator/planner/files.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "simulator/planner/space.h"

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

bool is_megatron(const PlanCase& c) { return c.framework.name.starts_with("megatron"); }
bool is_fsdp(const PlanCase& c) { return c.framework.name.starts_with("fsdp"); }

double steps_of(const PlanCase& c, double tokens) {
  return std::max(1.0,
                  std::ceil(tokens / (static_cast<double>(c.plan.global_batch) * static_cast<double>(c.workload.seq))));
}

Json offload_json(const char* device) {
  Json json{{"device", device}, {"pin_memory", true}};
  if (std::string_view(device) == "nvme") json["nvme_path"] = "/local_nvme";
  return json;
}

Json zero_json(const Plan& p) {
  Json zero{{"stage", p.zero}};
  if (p.zero > 0) zero["overlap_comm"] = p.offload == Offload::kNone;
  if (p.offload != Offload::kNone) {
    const bool nvme = p.offload == Offload::kOptimizerNvme || p.offload == Offload::kParametersNvme;
    zero["offload_optimizer"] = offload_json(nvme ? "nvme" : "cpu");
  }
  if (p.offload == Offload::kParameters) zero["offload_param"] = offload_json("cpu");
  if (p.offload == Offload::kParametersNvme) zero["offload_param"] = offload_json("nvme");
  if (p.shard > 0) zero["mics_shard_size"] = p.shard;
  if (p.hpz > 1) zero["zero_hpz_partition_size"] = p.hpz;
  if (p.quantized_weights) zero["zero_quantized_weights"] = true;
  if (p.quantized_gradients) zero["zero_quantized_gradients"] = true;
  return zero;
}

/// Options of Megatron-LM, one a line.
class Arguments {
 public:
  template <class... Value>
  void add(std::string_view name, const Value&... value) {
    text_ += fmt::format("--{}", name);
    ((text_ += fmt::format(" {}", value)), ...);
    text_ += "\n";
  }
  void flag_if(bool wanted, std::string_view name) {
    if (wanted) add(name);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

void add_model(Arguments& a, const ModelSpec& m, std::int64_t seq) {
  a.add("num-layers", m.layers);
  a.add("hidden-size", m.hidden);
  a.add("ffn-hidden-size", m.intermediate);
  a.add("num-attention-heads", m.heads);
  if (m.kv_heads != m.heads) a.add("group-query-attention"), a.add("num-query-groups", m.kv_heads);
  if (m.head_dim * m.heads != m.hidden) a.add("kv-channels", m.head_dim);
  a.add("seq-length", seq);
  a.add("max-position-embeddings", std::max(m.max_positions, seq));
  a.add("vocab-size", m.vocab_size);
  if (m.norm == NormKind::kRmsNorm) a.add("normalization", "RMSNorm");
  a.flag_if(m.mlp == MlpKind::kSwiGlu, "swiglu");
  if (m.positions == PositionKind::kRope) a.add("position-embedding-type", "rope"), a.add("rotary-base", m.rope_theta);
  a.flag_if(!m.tied_embeddings, "untie-embeddings-and-output-weights");
  a.flag_if(!m.mlp_bias, "disable-bias-linear");
  a.flag_if(m.qkv_bias && !m.mlp_bias, "add-qkv-bias");
  if (m.experts > 0) a.add("num-experts", m.experts), a.add("moe-router-topk", m.experts_per_token);
}

void add_stages(Arguments& a, const Plan& p, std::int64_t layers) {
  const std::int64_t parts = std::int64_t{p.pp} * p.vpp;
  const bool with_ends = ends_fill_stages(layers, parts);
  a.add("pipeline-model-parallel-size", p.pp);
  a.flag_if(with_ends, "account-for-embedding-in-pipeline-split");
  a.flag_if(with_ends, "account-for-loss-in-pipeline-split");
  if (p.vpp > 1) a.add("num-layers-per-virtual-pipeline-stage", (layers + (with_ends ? 2 : 0)) / parts);
}

void add_layout(Arguments& a, const Plan& p, std::int64_t layers) {
  a.add("tensor-model-parallel-size", p.tp);
  add_stages(a, p, layers);
  if (p.cp > 1) a.add("context-parallel-size", p.cp);
  if (p.ep > 1) a.add("expert-model-parallel-size", p.ep);
  a.flag_if(p.sp, "sequence-parallel");
  if (p.zero >= 1) a.add("use-distributed-optimizer"), a.add("overlap-grad-reduce"), a.add("overlap-param-gather");
  if (p.zero == 0) a.add("overlap-grad-reduce");
  a.add("micro-batch-size", p.micro_batch);
  a.add("global-batch-size", p.global_batch);
  if (p.recompute == Recompute::kSelective) a.add("recompute-granularity", "selective");
  if (p.recompute == Recompute::kFull) {
    a.add("recompute-granularity", "full"), a.add("recompute-method", "uniform"), a.add("recompute-num-layers", 1);
  }
}

const char* checkpointing(Recompute recompute) {
  return recompute == Recompute::kFull ? "full" : recompute == Recompute::kSelective ? "selective" : "none";
}

}  // namespace

std::string ds_config_text(const PlanCase& c) {
  const Plan& p = c.plan;
  Json json;
  json["train_batch_size"] = p.global_batch;
  json["train_micro_batch_size_per_gpu"] = p.micro_batch;
  json["gradient_accumulation_steps"] = p.micro_batches();
  json[c.workload.arithmetic == Arithmetic::kFp16 ? "fp16" : "bf16"] = {
      {"enabled", c.workload.arithmetic != Arithmetic::kFp32}};
  json["zero_optimization"] = zero_json(p);
  json["optimizer"] = {{"type", "AdamW"}, {"params", {{"lr", 3e-4}, {"betas", {0.9, 0.95}}, {"weight_decay", 0.1}}}};
  json["gradient_clipping"] = 1.0;
  return json.dump(2) + "\n";
}

std::string job_text(const PlanCase& c) {
  const Plan& p = c.plan;
  Json parallel{{"dp", p.dp}, {"tp", p.tp}, {"pp", p.pp}, {"cp", p.cp * p.ulysses}, {"ep", p.ep}};
  if (p.ulysses > 1) parallel["ulysses"] = p.ulysses;
  if (p.sp) parallel["sp"] = true;
  if (p.vpp > 1) parallel["schedule"] = "interleaved", parallel["virtual_stages"] = p.vpp;
  Json json{{"model", c.model},
            {"deepspeed", "ds_config.json"},
            {"parallel", parallel},
            {"data", {{"seq_len", c.workload.seq}}},
            {"recompute", to_string(p.recompute)},
            {"cluster", fmt::format("{}:{}", c.target.system.name, p.gpus)}};
  if (c.workload.arithmetic == Arithmetic::kFp8) json["fp8"] = {{"enabled", true}};
  return json.dump(2) + "\n";
}

std::string megatron_arguments(const PlanCase& c, double tokens) {
  Arguments a;
  add_model(a, c.workload.model, c.workload.seq);
  add_layout(a, c.plan, c.workload.model.layers);
  a.add("train-iters", static_cast<std::int64_t>(steps_of(c, tokens)));
  a.add(c.workload.arithmetic == Arithmetic::kFp16 ? "fp16" : "bf16");
  if (c.workload.arithmetic == Arithmetic::kFp8) a.add("fp8-format", "hybrid");
  a.add("use-flash-attn");
  a.add("cross-entropy-loss-fusion"), a.add("cross-entropy-fusion-impl", "te");  // logit_bytes of data/frameworks
  a.add("use-mcore-models");
  return a.text();
}

/// Keys of torchtitan 0.2's job config. shard < dp: replicas of shard groups (HSDP).
std::string torchtitan_text(const PlanCase& c, double tokens) {
  const Plan& p = c.plan;
  const int shard = p.zero == 0 ? 1 : p.shard > 0 ? p.shard : p.dp;
  return fmt::format(
      "[job]\ndescription = \"{model}, {gpus} GPUs\"\n\n"
      "[model]\n# name and flavor of torchtitan's own list; this plan is for {model}\nname = \"llama3\"\nflavor = "
      "\"{model}\"\n\n"
      "[training]\nlocal_batch_size = {micro}\nglobal_batch_size = {batch}\nseq_len = {seq}\nsteps = {steps}\n"
      "mixed_precision_param = \"bfloat16\"\nmixed_precision_reduce = \"float32\"\nenable_cpu_offload = {offload}\n\n"
      "[parallelism]\ndata_parallel_replicate_degree = {replicate}\ndata_parallel_shard_degree = {shard}\n"
      "fsdp_reshard_after_forward = \"{reshard}\"\ntensor_parallel_degree = {tp}\npipeline_parallel_degree = {pp}\n"
      "context_parallel_degree = {cp}\nexpert_parallel_degree = {ep}\n\n"
      "[activation_checkpoint]\nmode = \"{ac}\"\nselective_ac_option = \"op\"\n",
      fmt::arg("model", c.workload.model.name), fmt::arg("gpus", p.gpus), fmt::arg("micro", p.micro_batch),
      fmt::arg("batch", p.global_batch), fmt::arg("seq", c.workload.seq), fmt::arg("steps", steps_of(c, tokens)),
      fmt::arg("offload", p.offload != Offload::kNone), fmt::arg("replicate", p.dp / shard), fmt::arg("shard", shard),
      fmt::arg("reshard", p.zero == 3 ? "always" : "never"), fmt::arg("tp", p.tp), fmt::arg("pp", p.pp),
      fmt::arg("cp", p.cp), fmt::arg("ep", p.ep), fmt::arg("ac", checkpointing(p.recompute)));
}

std::string launch_text(const PlanCase& c) {
  const int per_node = std::min(c.plan.gpus, c.target.system.gpus_per_node);
  const int nodes = (c.plan.gpus + per_node - 1) / per_node;
  const char* program = is_megatron(c) ? "pretrain_gpt.py $(cat megatron.args)"
                        : is_fsdp(c)   ? "-m torchtitan.train --job.config_file torchtitan.toml"
                                       : "train.py --deepspeed --deepspeed_config ds_config.json";
  return fmt::format(
      "#!/usr/bin/env bash\n# {} nodes of {} GPUs ({}). On each node, with its own NODE_RANK:\n"
      "torchrun --nnodes {} --nproc-per-node {} --node-rank \"$NODE_RANK\" \\\n"
      "  --rdzv-backend c10d --rdzv-endpoint \"$MASTER_ADDR:29500\" {}\n"
      "# Under Slurm instead:\n"
      "# srun --nodes {} --ntasks-per-node 1 --gpus-per-node {} bash -c \\\n"
      "#   'torchrun --nnodes {} --nproc-per-node {} --rdzv-backend c10d --rdzv-endpoint \"$MASTER_ADDR:29500\" {}'\n",
      nodes, per_node, c.target.system.title, nodes, per_node, program, nodes, per_node, nodes, per_node, program);
}

std::vector<NamedText> plan_files(const PlanCase& c, double tokens) {
  std::vector<NamedText> files{{"ds_config.json", ds_config_text(c)}, {"job.json", job_text(c)}};
  if (is_megatron(c)) files.emplace_back("megatron.args", megatron_arguments(c, tokens));
  if (is_fsdp(c)) files.emplace_back("torchtitan.toml", torchtitan_text(c, tokens));
  files.emplace_back("launch.sh", launch_text(c));
  return files;
}

void write_files(const std::string& folder, const std::vector<NamedText>& files) {
  std::error_code code;
  std::filesystem::create_directories(folder, code);
  for (const auto& [name, text] : files) {
    const std::string path = folder + "/" + name;
    std::ofstream out(path, std::ios::binary);
    out << text << std::flush;
    if (!out) throw Error(ErrorKind::kIo, fmt::format("{}: cannot be written", path));
  }
}

}  // namespace shardscope
