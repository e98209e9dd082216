// Rotary position embedding: Rope and RopeAt. First a table of the angles, then the rotation, which moves twice the
// bytes of x per element (4 in bf16); the table stays in the second-level cache.
#include "core/check.h"
#include "kernels/cuda/access.cuh"

namespace shardscope::cuda {
namespace {

/// Heads that a thread rotates by the angles it has loaded.
constexpr int kHeads = 4;

/// Positions of the table's rows: given, or those of a part of a sequence.
struct Positions {
  const std::int32_t* given;
  SequencePart part;
  std::int64_t rows;
  __device__ std::int64_t operator[](std::int64_t row) const {
    return given != nullptr ? given[row] : part.position(row, rows);
  }
};

/// table [rows, half] = cos and sin. In double: position * theta^(-2i/d) loses its fraction in single precision.
__global__ void angles(Positions positions, std::int64_t half, double theta, float2* table) {
  for (std::int64_t i = first_index(); i < positions.rows * half; i += index_stride()) {
    const double exponent = -static_cast<double>(i % half) / static_cast<double>(half);
    const double angle = static_cast<double>(positions[i / half]) * pow(theta, exponent);
    double sine, cosine;
    sincos(angle, &sine, &cosine);
    table[i] = make_float2(static_cast<float>(cosine), static_cast<float>(sine));
  }
}

struct Shape {
  std::int64_t rows, heads, half, table_rows;
};

/// A thread has a pack of angles of one row, and rotates kHeads heads by it.
template <class A>
__global__ void rotate(A x, const float2* table, Shape s, float sign) {
  constexpr int kN = A::kN;
  const std::int64_t packs = s.half / kN, chunks = (s.heads + kHeads - 1) / kHeads;
  for (std::int64_t item = first_index(); item < s.rows * chunks * packs; item += index_stride()) {
    const std::int64_t pack = item % packs, chunk = item / packs % chunks, row = item / packs / chunks;
    float cosine[kN], sine[kN];
#pragma unroll
    for (int j = 0; j < kN; ++j) {
      const float2 angle = table[row % s.table_rows * s.half + pack * kN + j];
      cosine[j] = angle.x, sine[j] = angle.y * sign;
    }
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      const std::int64_t head = chunk * kHeads + h, at = (row * s.heads + head) * 2 * s.half + pack * kN;
      if (head >= s.heads) break;
      float a[kN], b[kN], c[kN], d[kN];
      x.load(at, a), x.load(at + s.half, b);
#pragma unroll
      for (int j = 0; j < kN; ++j) {
        c[j] = a[j] * cosine[j] - b[j] * sine[j];
        d[j] = b[j] * cosine[j] + a[j] * sine[j];
      }
      x.store(at, c), x.store(at + s.half, d);
    }
  }
}

template <class Op>
void rotate_all(const Op& op, const Positions& positions, float sign, Kernel& kernel) {
  SS_CHECK(op.head_dim % 2 == 0, op.head_dim);
  const Shape shape{op.rows, op.heads, op.head_dim / 2, positions.rows};
  auto* table = kernel.scratch<float2>(positions.rows * shape.half);
  angles<<<blocks_for(kernel, positions.rows * shape.half), kThreads, 0, kernel.stream()>>>(positions, shape.half,
                                                                                            op.theta, table);
  check_launch("angles");
  for_access(kernel, shape.half, {op.x}, [&](auto access) {
    using A = decltype(access);
    const std::int64_t items = op.rows * ((op.heads + kHeads - 1) / kHeads) * (shape.half / A::kN);
    rotate<<<blocks_for(kernel, items), kThreads, 0, kernel.stream()>>>(A::of(kernel, op.x), table, shape, sign);
  });
  check_launch("rotate");
}

}  // namespace

void run(const Rope& op, Kernel& kernel) {
  SS_CHECK(op.seq > 0, op.seq);
  rotate_all(op, {nullptr, op.part, op.seq}, op.inverse ? -1.0f : 1.0f, kernel);
}

void run(const RopeAt& op, Kernel& kernel) {
  rotate_all(op, {kernel.data<std::int32_t>(op.positions), {}, op.rows}, 1.0f, kernel);
}

}  // namespace shardscope::cuda
