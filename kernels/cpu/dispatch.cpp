#include <algorithm>
#include <initializer_list>
#include <optional>

#include "core/error.h"
#include "kernels/cpu/kernel.h"

namespace shardscope {
namespace {

/// What the backend leaves to others: the executor's own ops. No default: a new op must be put on one side or the
/// other.
template <class T>
inline constexpr bool is_foreign =
    is_collective<T> || is_nvme<T> || std::is_same_v<T, Alloc> || std::is_same_v<T, Free> || std::is_same_v<T, Hold> ||
    std::is_same_v<T, LoadBatch> || std::is_same_v<T, LoadTokens>;

/// Ops on bytes of any dtype.
template <class T>
inline constexpr bool takes_any_dtype = std::is_same_v<T, Copy> || std::is_same_v<T, Fill>;

bool is_one_of(std::string_view field, std::initializer_list<std::string_view> fields) {
  return std::find(fields.begin(), fields.end(), field) != fields.end();
}

/// Ops that come in fp32 only.
template <class T>
inline constexpr bool takes_f32_only = std::is_same_v<T, Sample>;

/// The dtype that an operand must have; nothing: any of f32, bf16 and f16.
std::optional<DType> required_dtype(const Op& op, std::string_view field) {
  if (is_one_of(field, {"tokens", "targets", "overflow", "starts", "counts", "chosen", "slots", "source"}))
    return DType::kI32;
  if (field == "positions" && std::holds_alternative<RopeAt>(op)) return DType::kI32;
  if (std::visit([](const auto& o) { return takes_f32_only<std::decay_t<decltype(o)>>; }, op)) return DType::kF32;
  if (field == "b" && std::holds_alternative<MatMulInt8>(op)) return DType::kI8;
  const bool quantizes = std::holds_alternative<Quantize>(op) || std::holds_alternative<Dequantize>(op);
  if (quantizes && field == "q") return DType::kI8;
  if (is_one_of(field, {"mean", "rstd", "lse", "loss", "norm", "coefficient", "exp_avg", "exp_avg_sq", "param", "top",
                        "sums", "scales", "probabilities", "weights", "d_weights"})) {
    return DType::kF32;
  }
  const bool sums_squares = std::holds_alternative<SumSquares>(op) || std::holds_alternative<ClipCoefficient>(op);
  if (sums_squares && field == "sum") return DType::kF64;
  return std::nullopt;
}

bool is_floating(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16 || dtype == DType::kF16; }

/// Ops whose matrices all have one dtype.
template <class T>
inline constexpr bool needs_one_dtype =
    std::is_same_v<T, Attention> || std::is_same_v<T, AttentionBackward> || std::is_same_v<T, AppendCache> ||
    std::is_same_v<T, CachedAttention> || std::is_same_v<T, LastRows>;

bool has_one_dtype(const Program& program, const Op& op) {
  std::optional<DType> first;
  bool same = true;
  for_each_access(op, [&](const char* field, const Region& region, Access) {
    if (required_dtype(op, field)) return;
    const DType dtype = program.buffer(region.buffer).dtype;
    same = same && dtype == first.value_or(dtype);
    first = dtype;
  });
  return same;
}

}  // namespace

bool runs(const Program& program, const Op& op) {
  const auto any_dtype = [](const auto& o) { return takes_any_dtype<std::decay_t<decltype(o)>>; };
  const auto foreign = [](const auto& o) { return is_foreign<std::decay_t<decltype(o)>>; };
  if (std::visit(foreign, op)) return false;
  if (std::visit(any_dtype, op)) return true;
  if (const auto* rows = std::get_if<CopyRows>(&op)) {
    return program.buffer(rows->src.buffer).dtype == program.buffer(rows->dst.buffer).dtype;
  }
  bool fits = true;
  for_each_access(op, [&](const char* field, const Region& region, Access) {
    const DType dtype = program.buffer(region.buffer).dtype;
    const std::optional<DType> required = required_dtype(op, field);
    fits = fits && (required ? dtype == *required : is_floating(dtype));
  });
  const bool alike = std::visit([](const auto& o) { return needs_one_dtype<std::decay_t<decltype(o)>>; }, op);
  return fits && (!alike || has_one_dtype(program, op));
}

void run_op(const Op& op, Kernel& kernel) {
  std::visit(
      [&](const auto& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (is_foreign<T>) {
          throw Error(ErrorKind::kUnsupported, std::string(T::kName) + ": not an op of the CPU backend");
        } else {
          run(o, kernel);
        }
      },
      op);
}

}  // namespace shardscope
