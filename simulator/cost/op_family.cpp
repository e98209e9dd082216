#include "simulator/cost/op_family.h"

#include <algorithm>
#include <array>
#include <set>

#include "simulator/cost/thin_products.h"

namespace shardscope {

namespace {

std::string base_family(const Op& op) {
  std::string name(op_name(op));
  if (std::holds_alternative<LoadTokens>(op)) return "load_batch";  // the same work
  if (const auto* sample = std::get_if<Sample>(&op)) return name + (sample->temperature > 0 ? ":drawn" : ":greedy");
  if (const auto* activation = std::get_if<Activation>(&op))
    return name + ":" + std::string(to_string(activation->kind));
  if (const auto* activation = std::get_if<ActivationBackward>(&op)) {
    return name + ":" + std::string(to_string(activation->kind));
  }
  return name;
}

std::string family_of(const Program& program, const Op& op) {
  const DType dtype = speed_dtype(program, op);
  return dtype == DType::kF32 ? base_family(op) : base_family(op) + ":" + std::string(to_string(dtype));
}

double work_of(const Program& program, const Op& op) {
  if (const auto* loss = std::get_if<CrossEntropy>(&op)) return static_cast<double>(loss->rows) * loss->vocab;
  if (const auto* sample = std::get_if<Sample>(&op)) return static_cast<double>(sample->batch) * sample->vocab;
  return static_cast<double>(bytes_touched(program, op));
}

struct Slowness {
  std::string_view family;
  double factor;
};

// Guess, from the arithmetic per byte of each op on a core with 256-bit vectors.
constexpr std::array kSlowness{
    Slowness{"activation:gelu_tanh", 3},
    Slowness{"activation:gelu_erf", 3},
    Slowness{"activation:silu", 2},
    Slowness{"activation_backward:gelu_tanh", 3},
    Slowness{"activation_backward:gelu_erf", 3},
    Slowness{"activation_backward:silu", 2},
    Slowness{"swiglu", 2},
    Slowness{"swiglu_backward", 2},
    Slowness{"rope", 2},
    Slowness{"cross_entropy", 20},  // per element, not per byte
    Slowness{"shifted_exp", 3},
    Slowness{"quantize", 2},
    Slowness{"dequantize", 2},
    Slowness{"sample:greedy", 50},  // likewise
    Slowness{"sample:drawn", 150},  // likewise
    Slowness{"rope_at", 2},
    Slowness{"cached_attention", 2},
    Slowness{"route", 10},
    Slowness{"route_backward", 3},
    Slowness{"combine", 1.5},
    Slowness{"combine_backward", 1.5},
    Slowness{"sum_squares", 1.5},
    Slowness{"layer_norm_backward", 1.5},
    Slowness{"rms_norm_backward", 1.5},
};

}  // namespace

std::optional<FamilyWork> family_work(const Program& program, const Op& op) {
  if (const auto thin = thin_product(program, op); thin && thin->below == thin->above) {
    return FamilyWork{thin->below, thin->work};
  }
  return std::visit(
      [&](const auto& o) -> std::optional<FamilyWork> {
        using T = std::decay_t<decltype(o)>;
        if constexpr (std::is_same_v<T, MatMul> || std::is_same_v<T, MatMulInt8> || std::is_same_v<T, Attention> ||
                      std::is_same_v<T, AttentionBackward> || std::is_same_v<T, Alloc> || std::is_same_v<T, Free> ||
                      std::is_same_v<T, Hold> || is_nvme<T> || is_collective<T>) {
          return std::nullopt;
        } else {
          return FamilyWork{family_of(program, op), work_of(program, op)};
        }
      },
      op);
}

DType speed_dtype(const Program& program, const Op& op) {
  std::array<bool, kDTypes> has{};
  for_each_access(op, [&](const char*, const Region& region, Access) {
    has[static_cast<std::size_t>(program.buffer(region.buffer).dtype)] = true;
  });
  const bool moves =
      std::holds_alternative<Copy>(op) || std::holds_alternative<CopyRows>(op) || std::holds_alternative<Fill>(op);
  if (moves && std::count(has.begin(), has.end(), true) == 1) return DType::kF32;
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    if (has[static_cast<std::size_t>(dtype)]) return dtype;
  }
  return DType::kF32;
}

std::string_view fp32_family(std::string_view family) {
  for (const std::string_view suffix : {":bf16", ":f16"}) {
    if (family.size() > suffix.size() && family.substr(family.size() - suffix.size()) == suffix) {
      return family.substr(0, family.size() - suffix.size());
    }
  }
  return family;
}

double guess_slowness(std::string_view family) {
  const std::string_view fp32 = fp32_family(family);
  const auto found =
      std::find_if(kSlowness.begin(), kSlowness.end(), [&](const Slowness& entry) { return entry.family == fp32; });
  const double conversions = fp32 == family ? 1.0 : 1.5;  // Guess: per byte, of which there are half as many
  return conversions * (found == kSlowness.end() ? 1.0 : found->factor);
}

bool has_16_bit_kernels(std::string_view family) {
  static const std::set<std::string_view> fp32_only{"fill",         "load_batch",    "clip_coefficient",
                                                    "load_balance", "sample:greedy", "sample:drawn"};
  return !fp32_only.contains(family) && !family.starts_with("thin_product");  // those say their own type
}

namespace {

const std::vector<std::string>& fp32_families() {
  static const std::vector<std::string> families{"fill",
                                                 "copy",
                                                 "accumulate",
                                                 "scale",
                                                 "quantize",
                                                 "dequantize",
                                                 "add",
                                                 "load_batch",
                                                 "embedding",
                                                 "embedding_backward",
                                                 "layer_norm",
                                                 "rms_norm",
                                                 "layer_norm_backward",
                                                 "rms_norm_backward",
                                                 "swiglu",
                                                 "swiglu_backward",
                                                 "bias_gradient",
                                                 "rope",
                                                 "adam",
                                                 "sum_squares",
                                                 "clip_coefficient",
                                                 "cross_entropy",
                                                 "rope_at",
                                                 "append_cache",
                                                 "cached_attention",
                                                 "last_rows",
                                                 "sample:greedy",
                                                 "sample:drawn",
                                                 "row_max",
                                                 "shifted_exp",
                                                 "sharded_cross_entropy",
                                                 "route",
                                                 "load_balance",
                                                 "route_backward",
                                                 "dispatch",
                                                 "combine",
                                                 "combine_backward",
                                                 "activation:gelu_tanh",
                                                 "activation:gelu_erf",
                                                 "activation:relu",
                                                 "activation:silu",
                                                 "activation_backward:gelu_tanh",
                                                 "activation_backward:gelu_erf",
                                                 "activation_backward:relu",
                                                 "activation_backward:silu"};
  return families;
}

}  // namespace

const std::vector<std::string>& all_families() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> families = fp32_families();
    for (const std::string& family : fp32_families()) {
      if (!has_16_bit_kernels(family)) continue;
      families.push_back(family + ":bf16");
      families.push_back(family + ":f16");
    }
    for (const ThinFamily& thin : thin_families()) families.push_back(thin.name());
    return families;
  }();
  return all;
}

}  // namespace shardscope
