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

/// Ops that convert between dtypes.
template <class T>
inline constexpr bool takes_any_dtype = std::is_same_v<T, Copy> || std::is_same_v<T, Fill>;

/// Numbers of tokens, of places in a sequence, of experts and of their slots.
bool is_integer_field(const Op& op, std::string_view field) {
  if (field == "positions") return std::holds_alternative<RopeAt>(op);
  return field == "tokens" || field == "targets" || field == "starts" || field == "counts" || field == "chosen" ||
         field == "slots" || field == "source";
}

/// Everything is fp32 today, but integers (i32) and the double sum of squares.
DType expected_dtype(const Op& op, std::string_view field) {
  if (is_integer_field(op, field)) return DType::kI32;
  if (field == "q" && (std::holds_alternative<Quantize>(op) || std::holds_alternative<Dequantize>(op)))
    return DType::kI8;
  const bool sums_squares = std::holds_alternative<SumSquares>(op) || std::holds_alternative<ClipCoefficient>(op);
  return sums_squares && field == "sum" ? DType::kF64 : DType::kF32;
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
    fits = fits && program.buffer(region.buffer).dtype == expected_dtype(op, field);
  });
  return fits;
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
