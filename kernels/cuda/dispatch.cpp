#include "core/error.h"
#include "kernels/cpu/kernel.h"
#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {
namespace {

/// Ops the backend leaves to others: it has no run() for them.
template <class T>
concept Runs = requires(const T& op, Kernel& kernel) {
  run(op, kernel);
};

/// What the attention kernels hold in registers and shared memory.
constexpr std::int64_t kMostHeadDim = 256;

}  // namespace

/// The CPU backend is the reference also in what is run at all.
bool runs(const Program& program, const Op& op) {
  const bool fits = std::visit(
      [](const auto& o) {
        if constexpr (requires { o.head_dim; }) return o.head_dim <= kMostHeadDim;
        return true;
      },
      op);
  return fits && shardscope::runs(program, op);
}

void run_op(const Op& op, Kernel& kernel) {
  std::visit(
      [&](const auto& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (Runs<T>) {
          run(o, kernel);
        } else {
          throw Error(ErrorKind::kUnsupported, std::string(T::kName) + ": not an op of the CUDA backend");
        }
      },
      op);
}

}  // namespace shardscope::cuda
