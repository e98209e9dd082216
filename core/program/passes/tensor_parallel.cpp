#include "core/program/passes/tensor_parallel.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "core/error.h"

namespace shardscope {
namespace {

struct Split {
  std::string_view suffix;  ///< of the tensor's name
  std::int32_t dim;
  std::int64_t blocks = 1;
};

/// What is not listed is whole on every rank: norms, positions, and biases that follow a sum over ranks.
constexpr std::array kSplits{
    Split{".attn.c_attn.weight", 1, 3},
    Split{".attn.c_attn.bias", 0, 3},  // gpt2: stored [in, out], q, k and v in one
    Split{".attn.c_proj.weight", 0},
    Split{".mlp.c_fc.weight", 1},
    Split{".mlp.c_fc.bias", 0},
    Split{".mlp.c_proj.weight", 0},
    Split{".q_proj.weight", 0},
    Split{".q_proj.bias", 0},  // llama: stored [out, in]
    Split{".k_proj.weight", 0},
    Split{".k_proj.bias", 0},
    Split{".v_proj.weight", 0},
    Split{".v_proj.bias", 0},
    Split{".o_proj.weight", 1},
    Split{".gate_proj.weight", 0},
    Split{".gate_proj.bias", 0},
    Split{".up_proj.weight", 0},
    Split{".up_proj.bias", 0},
    Split{".down_proj.weight", 1},
    Split{".w1.weight", 0},
    Split{".w3.weight", 0},
    Split{".w2.weight", 1},
    Split{"wte.weight", 0},
    Split{"embed_tokens.weight", 0},
    Split{"lm_head.weight", 0},
};

std::optional<Split> find_split(const TensorSpec& tensor) {
  const std::string_view name = tensor.name;
  for (const Split& split : kSplits) {
    if (name.size() >= split.suffix.size() && name.substr(name.size() - split.suffix.size()) == split.suffix) {
      return split;
    }
  }
  return std::nullopt;
}

/// A router's gradient comes from its experts' answers, of which each rank has a summand.
bool is_router(const TensorSpec& tensor) { return tensor.module.ends_with(".block_sparse_moe.gate"); }

bool is_norm(const TensorSpec& tensor) {
  return tensor.module.find("norm") != std::string::npos || tensor.module.find("ln_") != std::string::npos;
}

void check_divides(const ModelSpec& model, int parts, std::int64_t count, const char* what) {
  if (count % parts == 0) return;
  throw Error(ErrorKind::kConfig, fmt::format("parallel.tp: is {}, but model {} has {} {}; tp must divide them", parts,
                                              model.name, count, what));
}

}  // namespace

TensorRole tensor_role(const TensorSpec& tensor, const ParallelSpec& parallel) {
  if (parallel.tp == 1) return TensorRole::kSame;
  if (find_split(tensor)) return TensorRole::kSplit;
  return is_router(tensor) || (parallel.sp && is_norm(tensor)) ? TensorRole::kPartial : TensorRole::kSame;
}

TensorSlice tensor_slice(const TensorSpec& tensor, int part, int parts) {
  const std::optional<Split> split = find_split(tensor);
  if (!split || parts == 1) return {};
  return {split->dim, split->blocks, part, parts};
}

VocabPart vocab_part(std::int64_t vocab, int part, int parts) {
  const std::int64_t rows = (vocab + parts - 1) / parts, first = part * rows;
  return {rows, first, std::clamp<std::int64_t>(vocab - first, 0, rows)};
}

void check_tensor_parallel(const Job& job) {
  const ParallelSpec& parallel = job.parallel;
  if (parallel.tp == 1) return;
  check_divides(job.model, parallel.tp, job.model.heads, "attention heads");
  check_divides(job.model, parallel.tp, job.model.kv_heads, "key/value heads");
  check_divides(job.model, parallel.tp, job.model.intermediate, "units in the MLP");
  const std::int64_t rows = job.training.micro_batch * job.data.seq_len / parallel.cp;
  if (parallel.sp && rows % parallel.tp != 0) {
    throw Error(ErrorKind::kConfig, fmt::format("parallel.sp: splits the {} tokens of a micro-batch among {} ranks; tp "
                                                "must divide them",
                                                rows, parallel.tp));
  }
  if (job.zero_mode != ZeroMode::kDeepSpeed) return;
  if (parallel.sp) {
    throw Error(ErrorKind::kUnsupported, "zero_mode: deepspeed with parallel.sp is not built yet; use textbook");
  }
  if (job.model.experts > 0) {
    throw Error(ErrorKind::kUnsupported,
                "zero_mode: deepspeed with parallel.tp and experts is not built yet; use textbook");
  }
}

}  // namespace shardscope
