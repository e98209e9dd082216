// Speed of the CPU backend's ops against what this machine can do, all measured in this one run: matrix products and
// attention against oneDNN's best sgemm rate, the others against memory bandwidth (STREAM's triad, counted as STREAM
// does: 12 bytes per element, so what need not fetch the lines it writes, or finds its data in a cache, goes beyond
// 100 %). The fastest of a few repetitions counts. Beside each, what it takes in bf16 and that time over the one in
// fp32. Nothing passes or fails by time.
//
//   kernels_bench [threads...]      (default: 1 2)

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/engine/float_convert.h"
#include "core/program/program.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/isa.h"

namespace shardscope {
namespace {

double seconds_of(const std::function<void()>& work) {
  double best = 1e30, spent = 0;
  for (int i = 0; i < 40 && (i < 4 || spent < 0.3); ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::min(best, i == 0 ? best : took);  // the first one warms up
    spent += took;
  }
  return best;
}

/// Buffers of one backend, and ops on them, timed one by one.
class Bench {
 public:
  Bench(int threads, DType dtype) : backend_(make_cpu_backend(threads)), dtype_(dtype) {}
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;
  ~Bench() {
    if (memory_.bases[0] != nullptr) backend_->release(Space::kDevice, memory_.bases[0], bytes_);
  }

  DType dtype() const { return dtype_; }
  /// What mixed precision keeps in 16 bits; and what it does not.
  Region buffer(std::int64_t count) { return buffer(count, dtype_); }
  Region floats(std::int64_t count) { return buffer(count, DType::kF32); }
  Region buffer(std::int64_t count, DType dtype) {
    Buffer buffer{std::to_string(program_.buffers.size()), dtype, count};
    buffer.address = bytes_;
    bytes_ += buffer.bytes();
    const BufferId id = program_.add_buffer(std::move(buffer));
    return program_.whole(id);
  }
  /// After the last buffer(): takes memory, with small numbers in it.
  void start() {
    memory_ = {&program_, {backend_->allocate(Space::kDevice, bytes_)}};
    for (const Buffer& b : program_.buffers) {
      if (!is_floating(b.dtype)) continue;
      std::vector<float> values(static_cast<std::size_t>(b.elements));
      for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(static_cast<std::int64_t>(i * 7919 % 1024) - 512) * 0.002F;
      }
      from_floats(values, b.dtype, memory_.bases[0] + b.address);
    }
  }
  double time(const Op& op) {
    return seconds_of([&] {
      backend_->run(op, memory_, scalars_, Lane::kCompute);
      backend_->synchronize();
    });
  }
  double flop(const Op& op) const { return flops(op); }
  double bytes(const Op& op) const { return static_cast<double>(bytes_touched(program_, op)); }

 private:
  std::unique_ptr<Backend> backend_;
  DType dtype_;
  Program program_;
  Memory memory_;
  StepScalars scalars_{1, 1e-3};
  std::int64_t bytes_ = 0;
};

double sgemm_peak(int threads) {
  omp_set_num_threads(threads);
  double best = 0;
  for (const auto& [m, n, k] : {std::array<std::int64_t, 3>{1024, 3072, 768}, {1536, 1536, 1536}, {1024, 768, 768}}) {
    std::vector<float> a(static_cast<std::size_t>(m * k), 0.5F), b(static_cast<std::size_t>(k * n), 0.25F);
    std::vector<float> c(static_cast<std::size_t>(m * n));
    const double took = seconds_of(
        [&, m = m, n = n, k = k] { dnnl_sgemm('N', 'N', m, n, k, 1, a.data(), k, b.data(), n, 0, c.data(), n); });
    best = std::max(best, 2.0 * static_cast<double>(m * n * k) / took);
  }
  return best;
}

/// Floats in memory like that of a backend: huge pages, touched.
class Array {
 public:
  explicit Array(std::int64_t count) : bytes_(count * 4), backend_(make_cpu_backend(1)) {
    data_ = reinterpret_cast<float*>(backend_->allocate(Space::kDevice, bytes_));
    std::fill_n(data_, count, 1.0F);
  }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;
  ~Array() { backend_->release(Space::kDevice, reinterpret_cast<std::byte*>(data_), bytes_); }
  float* data() const { return data_; }

 private:
  std::int64_t bytes_;
  std::unique_ptr<Backend> backend_;
  float* data_ = nullptr;
};

using Vector = float __attribute__((vector_size(32)));

/// bytes/s of a = b + s * c, over arrays far larger than any cache.
double triad(int threads) {
  constexpr std::int64_t kCount = 32 << 20;
  const Array a(kCount), b(kCount), c(kCount);
  auto *x = reinterpret_cast<Vector*>(a.data()), *y = reinterpret_cast<Vector*>(b.data());
  auto* z = reinterpret_cast<Vector*>(c.data());
  const double took = seconds_of([&] {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t i = 0; i < kCount / 8; ++i) x[i] = y[i] + 0.5F * z[i];
  });
  return 12.0 * kCount / took;
}

struct Row {
  std::string name;
  Op op;
};

/// The ops of one GPT-2-small block (hidden 768, 12 heads), forward and backward, as lower() emits them.
std::vector<Row> gpt2_block(Bench& b, std::int64_t batch, std::int64_t seq) {
  constexpr std::int64_t kHidden = 768, kHeads = 12, kWide = 3072;
  const std::int64_t rows = batch * seq, r = rows * kHidden;
  const Region x = b.buffer(r), norm = b.buffer(r), out = b.buffer(r), mean = b.floats(rows), rstd = b.floats(rows);
  const Region w = b.buffer(kHidden), bias = b.buffer(kWide), qkv = b.buffer(3 * r), lse = b.floats(rows * kHeads);
  const Region w_qkv = b.buffer(3 * kHidden * kHidden), w_out = b.buffer(kHidden * kHidden);
  const Region w_up = b.buffer(kHidden * kWide), w_down = b.buffer(kHidden * kWide);
  const Region wide = b.buffer(rows * kWide), gelu = b.buffer(rows * kWide), d = b.buffer(r), d_x = b.buffer(r);
  const Region d_wide = b.buffer(rows * kWide), d_qkv = b.buffer(3 * r), d_w = b.buffer(kHidden * kWide);
  const Region d_bias = b.buffer(kWide), d_norm = b.buffer(kHidden), d_norm_bias = b.buffer(kHidden);
  const auto product = [](Region a, Region c, Region shift, Region to, std::int64_t m, std::int64_t n, std::int64_t k) {
    return MatMul{a, c, shift, to, m, n, k};
  };
  const auto to_input = [](Region dy, Region weight, Region dx, std::int64_t m, std::int64_t n, std::int64_t k) {
    return MatMul{dy, weight, {}, dx, m, k, n, false, true, false};
  };
  const auto to_weight = [&](Region input, Region dy, std::int64_t m, std::int64_t n, std::int64_t k) {
    return MatMul{input, dy, {}, d_w.part(0, k * n), k, n, m, true, false, true};
  };
  const auto columns = [](const Region& all, std::int64_t i) { return all.part(i * kHidden, all.count - i * kHidden); };
  const Attention attention{columns(qkv, 0), columns(qkv, 1), columns(qkv, 2), out, lse, batch, seq, kHeads, kHeads, 64,
                            3 * kHidden,     3 * kHidden};
  const AttentionBackward attention_backward{d,
                                             columns(qkv, 0),
                                             columns(qkv, 1),
                                             columns(qkv, 2),
                                             out,
                                             lse,
                                             columns(d_qkv, 0),
                                             columns(d_qkv, 1),
                                             columns(d_qkv, 2),
                                             batch,
                                             seq,
                                             kHeads,
                                             kHeads,
                                             64,
                                             3 * kHidden,
                                             3 * kHidden};
  const LayerNorm layer_norm{x, w, bias.part(0, kHidden), norm, mean, rstd, rows, kHidden};
  const LayerNormBackward layer_norm_backward{d, x, w, mean, rstd, d_x, d_norm, d_norm_bias, rows, kHidden, true, true};
  const auto bias_gradient = [&](Region dy, std::int64_t cols) {
    return BiasGradient{dy, d_bias.part(0, cols), rows, cols, true};
  };
  return {
      {"ln_1", layer_norm},
      {"qkv", product(norm, w_qkv, bias.part(0, 3 * kHidden), qkv, rows, 3 * kHidden, kHidden)},
      {"attention", attention},
      {"proj", product(out, w_out, bias.part(0, kHidden), d, rows, kHidden, kHidden)},
      {"residual", Add{x, d, x}},
      {"ln_2", layer_norm},
      {"up", product(norm, w_up, bias, wide, rows, kWide, kHidden)},
      {"gelu", Activation{wide, gelu, ActivationKind::kGeluTanh}},
      {"down", product(gelu, w_down, bias.part(0, kHidden), d, rows, kHidden, kWide)},
      {"residual", Add{x, d, x}},
      {"down dx", to_input(d, w_down, d_wide, rows, kHidden, kWide)},
      {"down dw", to_weight(gelu, d, rows, kHidden, kWide)},
      {"down db", bias_gradient(d, kHidden)},
      {"gelu back", ActivationBackward{wide, d_wide, d_wide, ActivationKind::kGeluTanh}},
      {"up dx", to_input(d_wide, w_up, d, rows, kWide, kHidden)},
      {"up dw", to_weight(norm, d_wide, rows, kWide, kHidden)},
      {"up db", bias_gradient(d_wide, kWide)},
      {"ln_2 back", layer_norm_backward},
      {"proj dx", to_input(d_x, w_out, d, rows, kHidden, kHidden)},
      {"proj dw", to_weight(out, d_x, rows, kHidden, kHidden)},
      {"proj db", bias_gradient(d_x, kHidden)},
      {"attention back", attention_backward},
      {"qkv dx", to_input(d_qkv, w_qkv, d, rows, 3 * kHidden, kHidden)},
      {"qkv dw", to_weight(norm, d_qkv, rows, 3 * kHidden, kHidden)},
      {"qkv db", bias_gradient(d_qkv, 3 * kHidden)},
      {"ln_1 back", layer_norm_backward},
  };
}

bool is_heavy(const Op& op) {
  return std::holds_alternative<MatMul>(op) || std::holds_alternative<Attention>(op) ||
         std::holds_alternative<AttentionBackward>(op);
}

/// What the machine can do on as many threads.
struct Limits {
  double peak, bandwidth;
};

void print_row(Bench& bench, const Row& row, double fp32, double bf16, const Limits& limits) {
  const double rate = (is_heavy(row.op) ? bench.flop(row.op) : bench.bytes(row.op)) / fp32 * 1e-9;
  std::printf("  %-16s %9.1f us  %8.1f %s  %5.1f %% of %s   bf16 %9.1f us  %4.2f\n", row.name.c_str(), fp32 * 1e6, rate,
              is_heavy(row.op) ? "GF/s" : "GB/s",
              100 * rate * 1e9 / (is_heavy(row.op) ? limits.peak : limits.bandwidth),
              is_heavy(row.op) ? "sgemm" : "triad", bf16 * 1e6, bf16 / fp32);
}

struct Totals {
  double fp32 = 0, bf16 = 0, flop = 0;
};

/// Times the rows that `make` builds, in fp32 and in bf16 in turn.
template <class Make>
Totals bench_rows(const std::string& title, int threads, const Limits& limits, const Make& make) {
  Bench wide(threads, DType::kF32), narrow(threads, DType::kBF16);
  const std::vector<Row> rows = make(wide), narrow_rows = make(narrow);
  wide.start();
  narrow.start();
  std::printf("%s\n", title.c_str());
  Totals totals;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double fp32 = wide.time(rows[i].op), bf16 = narrow.time(narrow_rows[i].op);
    print_row(wide, rows[i], fp32, bf16, limits);
    totals.fp32 += fp32, totals.bf16 += bf16;
    totals.flop += is_heavy(rows[i].op) ? wide.flop(rows[i].op) : 0;
  }
  return totals;
}

void bench_block(int threads, std::int64_t batch, std::int64_t seq, const Limits& limits) {
  const Totals t = bench_rows(
      "GPT-2-small block, " + std::to_string(batch) + " x " + std::to_string(seq) + " tokens, forward and backward",
      threads, limits, [&](Bench& b) { return gpt2_block(b, batch, seq); });
  std::printf("  %-16s %9.1f us  %8.1f GF/s  %5.1f %% of sgemm   bf16 %9.1f us  %4.2f\n\n", "whole block", t.fp32 * 1e6,
              t.flop / t.fp32 * 1e-9, 100 * t.flop / t.fp32 / limits.peak, t.bf16 * 1e6, t.bf16 / t.fp32);
}

std::vector<Row> head_rows(Bench& b) {
  constexpr std::int64_t kRows = 512, kHidden = 768, kVocab = 50257;
  const Region x = b.buffer(kRows * kHidden), table = b.buffer(kVocab * kHidden), logits = b.buffer(kRows * kVocab);
  const Region targets = b.buffer(kRows, DType::kI32), loss = b.floats(1);
  return {
      {"logits", MatMul{x, table, {}, logits, kRows, kVocab, kHidden, false, true}},
      {"cross_entropy", CrossEntropy{logits, targets, loss, kRows, kVocab, 1.0 / kRows}},
      {"logits dx", MatMul{logits, table, {}, x, kRows, kHidden, kVocab}},
      {"logits dw", MatMul{logits, x, {}, table, kVocab, kHidden, kRows, true, false, true}},
      {"embedding", Embedding{targets, table, {}, x, kRows, kHidden, kRows, kVocab}},
      {"embedding back", EmbeddingBackward{targets, x, table, {}, kRows, kHidden, kRows, kVocab}},
  };
}

std::vector<Row> llama_rows(Bench& b) {
  constexpr std::int64_t kRows = 1024, kHidden = 768, kWide = 2048;
  const Region x = b.buffer(kRows * kHidden), out = b.buffer(kRows * kHidden), w = b.buffer(kHidden);
  const Region rstd = b.floats(kRows), d_w = b.buffer(kHidden), d_x = b.buffer(kRows * kHidden);
  const Region gate = b.buffer(kRows * kWide), up = b.buffer(kRows * kWide), act = b.buffer(kRows * kWide);
  const Region d_gate = b.buffer(kRows * kWide), d_up = b.buffer(kRows * kWide);
  return {
      {"rms_norm", RmsNorm{x, w, out, rstd, kRows, kHidden}},
      {"rms_norm back", RmsNormBackward{out, x, w, rstd, d_x, d_w, kRows, kHidden, true, true}},
      {"rope", Rope{x, kRows, 12, 64, 1024}},
      {"swiglu", SwiGlu{gate, up, act}},
      {"swiglu back", SwiGluBackward{gate, up, act, d_gate, d_up}},
      {"gelu erf", Activation{gate, act, ActivationKind::kGeluErf}},
      {"gelu erf back", ActivationBackward{gate, act, d_gate, ActivationKind::kGeluErf}},
  };
}

/// In bf16 Adam reads bf16 gradients and writes the rounded copy of its fp32 parameters.
std::vector<Row> optimizer_rows(Bench& b) {
  constexpr std::int64_t kCount = 32 << 20;
  const Region p = b.floats(kCount), g = b.buffer(kCount), m = b.floats(kCount), v = b.floats(kCount);
  const Region sum = b.buffer(1, DType::kF64), copy = b.buffer(kCount), half = b.buffer(kCount, DType::kBF16);
  Adam adam{p, g, m, v, {}};
  if (b.dtype() != DType::kF32) adam.copy = copy;
  return {{"adam", adam},
          {"sum_squares", SumSquares{g, sum}},
          {"copy", Copy{g, copy}},
          {"copy to fp32", Copy{half, p}},
          {"copy to bf16", Copy{p, half}},
          {"accumulate", Accumulate{g, copy}},
          {"scale", Scale{g, 1.0}},
          {"fill", Fill{g, 0.0}}};
}

void bench_lane(int threads) {
  constexpr int kOps = 20000;
  const auto backend = make_cpu_backend(threads);
  const double call = seconds_of([&] {
    for (int i = 0; i < kOps; ++i) backend->call(Lane::kCompute, [] {});
    backend->synchronize();
  });
  const double handover = seconds_of([&] {
    for (int i = 0; i < kOps; ++i) {
      backend->wait(Lane::kReduce, Lane::kCompute, backend->record(Lane::kCompute));
      backend->wait(Lane::kCompute, Lane::kReduce, backend->record(Lane::kReduce));
    }
    backend->synchronize();
  });
  std::printf("Lanes: %.2f us per empty op, %.2f us per handover from lane to lane\n\n", call / kOps * 1e6,
              handover / kOps / 2 * 1e6);
}

void bench_all(int threads) {
  const double peak = sgemm_peak(threads), bandwidth = triad(threads);
  std::printf("==== %d thread%s, loops for %s: sgemm %.1f GF/s, triad %.1f GB/s\n\n", threads, threads == 1 ? "" : "s",
              std::string(to_string(best_isa())).c_str(), peak * 1e-9, bandwidth * 1e-9);
  const Limits limits{peak, bandwidth};
  bench_block(threads, 4, 256, limits);
  bench_block(threads, 1, 1024, limits);
  bench_rows("GPT-2-small head, 512 tokens", threads, limits, head_rows);
  bench_rows("\nLlama's own ops, 1024 tokens, hidden 768", threads, limits, llama_rows);
  bench_rows("\nOptimizer and copies, 33554432 elements", threads, limits, optimizer_rows);
  std::printf("\n");
  bench_lane(threads);
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  std::vector<int> threads;
  for (int i = 1; i < argc; ++i) threads.push_back(std::atoi(argv[i]));
  if (threads.empty()) threads = {1, 2};
  for (const int n : threads) {
    if (n < 1 || n > 1024) {
      std::fprintf(stderr, "kernels_bench: a number of threads must be between 1 and 1024\n");
      return 2;
    }
    shardscope::bench_all(n);
  }
  return 0;
}
