// Attention on GPU 0, forward and backward, in TFLOP/s of causal attention (4 d FLOP per visible pair and head forward,
// 10 d backward): bf16, heads of 64 and 128, at the sequence lengths of training. 16 ops are enqueued and waited for.
// Nothing passes or fails by time.
//
//   cuda_attention_bench
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "core/error.h"
#include "core/program/program.h"
#include "kernels/cuda/cuda_backend.h"

namespace shardscope {
namespace {

struct Sizes {
  std::int64_t batch, seq, heads, kv_heads, d;
};

/// Buffers of bf16 zeros (uniform attention; the time does not depend on values), one after the other.
class Buffers {
 public:
  explicit Buffers(Backend& backend) : backend_(backend) {}
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;
  ~Buffers() { backend_.release(Space::kDevice, memory_.bases[0], bytes_); }

  Region add(std::int64_t count, DType dtype = DType::kBF16) {
    Buffer buffer{std::to_string(program_.buffers.size()), dtype, count};
    buffer.address = bytes_;
    bytes_ += (buffer.bytes() + 255) / 256 * 256;
    return program_.whole(program_.add_buffer(std::move(buffer)));
  }
  void allocate() { memory_ = {&program_, {backend_.allocate(Space::kDevice, bytes_)}}; }
  double seconds_of(const Op& op) {
    constexpr int kRepeats = 16;
    double best = 1e30;
    for (int round = 0; round < 4; ++round) {
      const auto start = std::chrono::steady_clock::now();
      for (int i = 0; i < kRepeats; ++i) backend_.run(op, memory_, scalars_, Lane::kCompute);
      backend_.synchronize();
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      if (round > 0) best = std::min(best, took.count() / kRepeats);  // the first one loads the kernels
    }
    return best;
  }

 private:
  Backend& backend_;
  Program program_;
  Memory memory_;
  StepScalars scalars_;
  std::int64_t bytes_ = 0;
};

void measure(Backend& backend, const Sizes& s) {
  const std::int64_t rows = s.batch * s.seq, width = s.heads * s.d, kv_width = s.kv_heads * s.d;
  Buffers b(backend);
  const Region q = b.add(rows * width), k = b.add(rows * kv_width), v = b.add(rows * kv_width),
               out = b.add(rows * width);
  const Region d_out = b.add(rows * width), lse = b.add(rows * s.heads, DType::kF32);
  const Region d_q = b.add(rows * width), d_k = b.add(rows * kv_width), d_v = b.add(rows * kv_width);
  b.allocate();
  const Attention forward{q, k, v, out, lse, s.batch, s.seq, s.heads, s.kv_heads, s.d, width, kv_width};
  const AttentionBackward backward{d_out, q,       k,     v,       out,        lse, d_q,   d_k,
                                   d_v,   s.batch, s.seq, s.heads, s.kv_heads, s.d, width, kv_width};
  const double pairs = static_cast<double>(s.batch * s.heads * s.d) * (0.5 * static_cast<double>(s.seq * (s.seq + 1)));
  const double forward_s = b.seconds_of(forward), backward_s = b.seconds_of(backward);
  fmt::print("seq {:5} heads {:2} / {:2} d {:3}: forward {:7.1f} us {:6.1f} TFLOP/s, backward {:7.1f} us {:6.1f}\n",
             s.seq, s.heads, s.kv_heads, s.d, forward_s * 1e6, 4e-12 * pairs / forward_s, backward_s * 1e6,
             10e-12 * pairs / backward_s);
}

}  // namespace
}  // namespace shardscope

int main() {
  using namespace shardscope;
  try {
    const auto backend = make_cuda_backend({});
    for (const std::int64_t d : {64, 128}) {
      for (const std::int64_t seq : {1024, 2048, 4096}) measure(*backend, {16384 / seq, seq, 2048 / d, 2048 / d, d});
    }
    measure(*backend, {4, 4096, 32, 8, 128});
    measure(*backend, {16, 1024, 12, 12, 64});
  } catch (const Error& error) {
    fmt::print("SKIPPED: {}\n", error.what());
    return 77;
  }
  return 0;
}
