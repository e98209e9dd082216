// Element by element: limited by memory on every GPU.
#include "kernels/cuda/device.cuh"

namespace shardscope::cuda {
namespace {

/// Moves the bytes of src and twice those of dst per element.
__global__ void accumulate(FloatView src, FloatView dst, std::int64_t n) {
  for (std::int64_t i = first_index(); i < n; i += index_stride()) dst.store(i, dst.load(i) + src.load(i));
}

/// Moves twice the bytes of data per element.
__global__ void scale(FloatView data, float factor, std::int64_t n) {
  for (std::int64_t i = first_index(); i < n; i += index_stride()) data.store(i, data.load(i) * factor);
}

/// Moves the bytes of a, b and out per element.
__global__ void add(FloatView a, FloatView b, FloatView out, std::int64_t n) {
  for (std::int64_t i = first_index(); i < n; i += index_stride()) out.store(i, a.load(i) + b.load(i));
}

}  // namespace

void run(const Accumulate& op, Kernel& kernel) {
  const std::int64_t n = op.dst.count;
  accumulate<<<blocks_for(kernel, n), kThreads, 0, kernel.stream()>>>(view(kernel, op.src), view(kernel, op.dst), n);
  check_launch("accumulate");
}

void run(const Scale& op, Kernel& kernel) {
  const std::int64_t n = op.data.count;
  scale<<<blocks_for(kernel, n), kThreads, 0, kernel.stream()>>>(view(kernel, op.data), static_cast<float>(op.factor),
                                                                 n);
  check_launch("scale");
}

void run(const Add& op, Kernel& kernel) {
  const std::int64_t n = op.out.count;
  add<<<blocks_for(kernel, n), kThreads, 0, kernel.stream()>>>(view(kernel, op.a), view(kernel, op.b),
                                                               view(kernel, op.out), n);
  check_launch("add");
}

}  // namespace shardscope::cuda
