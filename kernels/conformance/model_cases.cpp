// MatMul, BiasGradient, embeddings, norms, activations, rope.
#include <algorithm>
#include <cmath>

#include "kernels/conformance/conformance.h"
#include "kernels/conformance/reference.h"

namespace shardscope {
namespace {

Doubles plus(Doubles a, const Doubles& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

std::string shaped(const char* op, std::initializer_list<std::int64_t> shape) {
  std::string name = op;
  for (const std::int64_t n : shape) name += " " + std::to_string(n);
  return name;
}

/// fp32 sums of k terms of size one: the error grows like the root of k.
Tolerance sum_tolerance(std::int64_t k) { return {2e-6, 1e-6 * std::sqrt(static_cast<double>(k)) + 1e-6}; }

/// A product may be rounded to c's 16 bits before it is added to c: cuBLAS on Hopper does so (seen on an H200) where
/// operands are aligned, whatever its mode says of reductions.
double rounding_of_product(DType dtype, const Doubles& product) {
  if (dtype == DType::kF32) return 0;
  double largest = 0;
  for (const double v : product) largest = std::max(largest, std::abs(v));
  return largest * (dtype == DType::kBF16 ? 0x1p-8 : 0x1p-11);
}

/// The rest of a product's case: x is its a; `product_of` x and y what is expected before c and the bias are added, and
/// within which tolerance.
template <class ProductOf, class ToleranceOf>
void add_product(std::vector<ConformanceCase>& cases, CaseBuilder& b, const CaseTypes& types, MatMul op, bool bias,
                 const Doubles& x, const ProductOf& product_of, const ToleranceOf& tolerance_of) {
  const Doubles y = b.random(op.k * op.n), shift = b.random(op.n), before = b.random(op.m * op.n);
  op.a = b.in(x), op.b = b.in(y);
  if (bias) op.bias = b.in(shift);
  op.c = op.accumulate ? b.in(before, types.gradient) : b.out(op.m * op.n, types.gradient);
  Doubles want = product_of(op, x, y);
  Tolerance tolerance = tolerance_of(want);
  if (op.accumulate) tolerance.absolute += rounding_of_product(types.gradient, want);
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (bias) want[i] += shift[i % static_cast<std::size_t>(op.n)];
    if (op.accumulate) want[i] += before[i];
  }
  b.expect(op.c, want, tolerance);
  cases.push_back(b.build(op));
}

void add_matmul(std::vector<ConformanceCase>& cases, const CaseTypes& types, MatMul op, bool bias) {
  CaseBuilder b(shaped("matmul", {op.m, op.n, op.k}) + (op.trans_a ? " ta" : "") + (op.trans_b ? " tb" : "") +
                    (op.accumulate ? " accumulate" : "") + (bias ? " bias" : ""),
                types);
  add_product(
      cases, b, types, op, bias, b.random(op.m * op.k),
      [](const MatMul& o, const Doubles& x, const Doubles& y) { return reference::matmul(o, x, y); },
      [&](const Doubles&) { return sum_tolerance(op.k); });
}

/// What an operand of a product in fp8 is like: normal numbers, or what tries the edges of the format.
enum class Fp8Operand { kPlain, kWide, kTiny, kZero, kNotFinite, kPeakAtEnd };

Doubles fp8_operand(CaseBuilder& b, std::int64_t count, Fp8Operand kind) {
  Doubles x = b.random(count);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (kind == Fp8Operand::kWide) x[i] = std::ldexp(x[i], -static_cast<int>(i % 24));  // down to below the format
    if (kind == Fp8Operand::kTiny) x[i] = std::ldexp(x[i], -110);                       // f16: zeros
    if (kind == Fp8Operand::kZero) x[i] = 0;
  }
  if (kind == Fp8Operand::kPeakAtEnd) x.back() = 9;
  if (kind == Fp8Operand::kNotFinite) x[x.size() / 2] = HUGE_VAL;
  return x;
}

/// Tensor cores of Hopper keep some 14 bits of a partial sum of 8-bit products.
double sum_of_fp8(const Doubles& want) {
  double largest = 0;
  for (const double v : want) largest = std::max(largest, std::isfinite(v) ? std::abs(v) : 0);
  return largest * 0x1p-11;
}

void add_fp8_matmul(std::vector<ConformanceCase>& cases, const CaseTypes& types, MatMul op, bool bias,
                    Fp8Operand kind = Fp8Operand::kPlain) {
  CaseBuilder b(shaped("matmul fp8", {op.m, op.n, op.k}) + " " + std::string(to_string(op.cast_a)) + " " +
                    std::string(to_string(op.cast_b)) + (op.trans_a ? " ta" : "") + (op.trans_b ? " tb" : "") +
                    (op.accumulate ? " accumulate" : "") + (bias ? " bias" : "") + " operand " +
                    std::to_string(static_cast<int>(kind)),
                types);
  const auto as_stored = [&](Doubles v) {
    for (double& e : v) e = rounded(types.model, e);
    return v;
  };
  const auto through_fp8 = [](const MatMul& o, const Doubles& x, const Doubles& y) {
    return reference::matmul(o, reference::through_fp8(o.cast_a, x), reference::through_fp8(o.cast_b, y));
  };
  const auto tolerance_of = [&](const Doubles& want) {
    Tolerance tolerance = sum_tolerance(op.k);
    tolerance.absolute = sum_of_fp8(want) + (kind == Fp8Operand::kTiny ? 0 : tolerance.absolute);
    return tolerance;
  };
  add_product(cases, b, types, op, bias, as_stored(fp8_operand(b, op.m * op.k, kind)), through_fp8, tolerance_of);
}

/// The three products of a linear layer, and each of them in any layout.
void add_fp8_matmuls(std::vector<ConformanceCase>& cases, const CaseTypes& types) {
  constexpr Fp8 kNarrow = Fp8::kE4M3, kBroad = Fp8::kE5M2;
  const auto product = [&](std::int64_t m, std::int64_t n, std::int64_t k, bool trans_a, bool trans_b) {
    return MatMul{{}, {}, {}, {}, m, n, k, trans_a, trans_b, false, kNarrow, kNarrow};
  };
  for (const bool trans_a : {false, true}) {
    for (const bool trans_b : {false, true}) {
      MatMul op = product(48, 80, 112, trans_a, trans_b);
      add_fp8_matmul(cases, types, op, trans_a == trans_b);
      op.cast_a = kBroad, op.accumulate = trans_a;
      add_fp8_matmul(cases, types, op, false);
      op.cast_a = kNarrow, op.cast_b = kBroad, op.accumulate = !trans_a;
      add_fp8_matmul(cases, types, op, false);
      add_fp8_matmul(cases, types, product(16, 16, 16, trans_a, trans_b), true);
    }
  }
  for (const Fp8Operand kind : {Fp8Operand::kWide, Fp8Operand::kTiny, Fp8Operand::kZero, Fp8Operand::kNotFinite}) {
    MatMul op = product(32, 16, 48, kind == Fp8Operand::kZero, true);
    add_fp8_matmul(cases, types, op, kind == Fp8Operand::kZero, kind);
    op.cast_a = kBroad;
    add_fp8_matmul(cases, types, op, false, kind);
  }
  add_fp8_matmul(cases, types, product(272, 16, 176, true, false), true);  // more than a tile of each cast
}

void add_bias_gradient(std::vector<ConformanceCase>& cases, const CaseTypes& types, std::int64_t rows,
                       std::int64_t cols, bool accumulate) {
  CaseBuilder b(shaped("bias_gradient", {rows, cols}) + (accumulate ? " accumulate" : ""), types);
  const Doubles d_out = b.random(rows * cols), before = b.random(cols);
  Doubles want = accumulate ? before : Doubles(before.size());
  for (std::size_t i = 0; i < d_out.size(); ++i) want[i % static_cast<std::size_t>(cols)] += d_out[i];
  BiasGradient op{b.in(d_out), accumulate ? b.in(before, types.gradient) : b.out(cols, types.gradient), rows, cols,
                  accumulate};
  b.expect(op.d_bias, want, sum_tolerance(rows));
  cases.push_back(b.build(op));
}

}  // namespace

void add_matmul_cases(std::vector<ConformanceCase>& cases) {
  const std::int64_t shapes[][3] = {{1, 1, 1},    {1, 17, 5},   {17, 1, 3},   {3, 2, 1},      {7, 31, 13},
                                    {16, 16, 16}, {33, 65, 17}, {64, 48, 96}, {97, 101, 103}, {1, 300, 129},
                                    {130, 1, 67}, {6, 520, 70}, {16, 33, 90}};
  for (const CaseTypes& types : kCaseTypes) {
    for (const auto& [m, n, k] : shapes) {
      for (const bool trans_a : {false, true}) {
        for (const bool trans_b : {false, true}) {
          const MatMul op{{}, {}, {}, {}, m, n, k, trans_a, trans_b};
          add_matmul(cases, types, op, false);
          add_matmul(cases, types, op, true);
          MatMul accumulating = op;
          accumulating.accumulate = true;
          add_matmul(cases, types, accumulating, false);
        }
      }
    }
    for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 17}, {31, 5}, {32, 64}, {33, 65}, {131, 769}}) {
      add_bias_gradient(cases, types, rows, cols, false);
      add_bias_gradient(cases, types, rows, cols, true);
    }
  }
  for (const CaseTypes& types : kCaseTypes) {
    if (types.model != DType::kF32) add_fp8_matmuls(cases, types);
  }
  add_fp8_matmul(cases, kCaseTypes[1], {{}, {}, {}, {}, 4096, 16, 144, false, true, false, Fp8::kE4M3, Fp8::kE4M3},
                 true,
                 Fp8Operand::kPeakAtEnd);  // read by more blocks of threads than a block has threads
  for (const CaseTypes& types : {kCaseTypes[1], kCaseTypes[2]}) {  // beyond one block of the kernel in every direction
    add_matmul(cases, types, {{}, {}, {}, {}, 1100, 70, 5, false, false}, true);
    add_matmul(cases, types, {{}, {}, {}, {}, 70, 1100, 300, true, false, true}, false);
    add_matmul(cases, types, {{}, {}, {}, {}, 200, 530, 270, false, true}, false);
    for (const bool trans_a : {false, true}) {  // rows that vectors do not fit
      add_matmul(cases, types, {{}, {}, {}, {}, 261, 131, 130, trans_a, false}, true);
      add_matmul(cases, types, {{}, {}, {}, {}, 261, 131, 129, trans_a, true, true}, false);
    }
  }
}

namespace {

void add_embedding(std::vector<ConformanceCase>& cases, const CaseTypes& types, std::int64_t batch, std::int64_t seq,
                   std::int64_t hidden, std::int64_t vocab, const SequencePart& part, bool with_positions) {
  const std::int64_t rows = batch * seq, last = part.end(seq) + 2;
  const std::string name =
      shaped("", {rows, hidden, vocab, part.start, part.jump}) + (with_positions ? " positions" : "");
  CaseBuilder b("embedding" + name, types), back("embedding_backward" + name, types);
  const Doubles tokens = b.random_indices(rows, vocab), table = b.random(vocab * hidden);
  const Doubles positions = b.random(last * hidden), d_out = b.random(rows * hidden);
  Doubles want(d_out.size()), d_table = b.random(vocab * hidden), d_positions = b.random(last * hidden);
  EmbeddingBackward backward{back.in(tokens, DType::kI32),
                             back.in(d_out),
                             back.in(d_table, types.gradient),
                             {},
                             rows,
                             hidden,
                             seq,
                             vocab,
                             0,
                             0,
                             part};
  if (with_positions) backward.d_positions = back.in(d_positions, types.gradient);
  for (std::int64_t i = 0; i < rows * hidden; ++i) {
    const std::int64_t row = i / hidden, col = i % hidden;
    const auto token =
        static_cast<std::size_t>(static_cast<std::int64_t>(tokens[static_cast<std::size_t>(row)]) * hidden + col);
    const auto position = static_cast<std::size_t>(part.position(row % seq, seq) * hidden + col);
    want[static_cast<std::size_t>(i)] = table[token] + (with_positions ? positions[position] : 0);
    d_table[token] += d_out[static_cast<std::size_t>(i)];
    d_positions[position] += d_out[static_cast<std::size_t>(i)];
  }
  Embedding op{b.in(tokens, DType::kI32), b.in(table), {}, b.out(rows * hidden), rows, hidden, seq, vocab, 0, 0, part};
  if (with_positions) op.positions = b.in(positions);
  b.expect(op.out, want, {1e-7});
  if (types.model == types.gradient) cases.push_back(b.build(op));
  back.expect(backward.d_table, d_table, sum_tolerance(rows));
  if (with_positions) back.expect(backward.d_positions, d_positions, sum_tolerance(batch));
  cases.push_back(back.build(backward));
}

}  // namespace

void add_embedding_cases(std::vector<ConformanceCase>& cases) {
  for (const CaseTypes& types : kCaseTypes) {
    for (const bool with_positions : {false, true}) {
      add_embedding(cases, types, 1, 1, 1, 1, {}, with_positions);
      add_embedding(cases, types, 2, 3, 5, 7, {}, with_positions);
      add_embedding(cases, types, 3, 7, 17, 2, {}, with_positions);
      add_embedding(cases, types, 2, 33, 64, 11, {}, with_positions);
      add_embedding(cases, types, 1, 70, 131, 101, {}, with_positions);
      add_embedding(cases, types, 2, 6, 5, 7, {3, 9}, with_positions);
      add_embedding(cases, types, 3, 5, 16, 4, {2, 0}, with_positions);
    }
  }
}

namespace {

void add_norm(std::vector<ConformanceCase>& cases, DType dtype, std::int64_t rows, std::int64_t hidden, bool centred,
              bool bias) {
  CaseBuilder b(shaped(centred ? "layer_norm" : "rms_norm", {rows, hidden}) + (bias ? " bias" : ""), dtype);
  Doubles x = b.random(rows * hidden);
  for (double& v : x) v = rounded(dtype, v + 0.5);  // a mean that is not zero
  const Doubles weight = b.random(hidden), shift = bias ? b.random(hidden) : Doubles();
  const auto want = reference::norm(x, weight, shift, weight.size(), 1e-5, centred);
  const Region x_in = b.in(x), weight_in = b.in(weight), bias_in = bias ? b.in(shift) : Region{};
  const Region out = b.out(rows * hidden), rstd = b.out(rows, DType::kF32);
  const Region mean = centred ? b.out(rows, DType::kF32) : Region{};
  b.expect(out, want.out, {5e-6, 5e-6});
  b.expect(rstd, want.rstd, {5e-6});
  if (centred) b.expect(mean, want.mean, {1e-6, 1e-6});
  cases.push_back(centred ? b.build(LayerNorm{x_in, weight_in, bias_in, out, mean, rstd, rows, hidden, 1e-5})
                          : b.build(RmsNorm{x_in, weight_in, out, rstd, rows, hidden, 1e-5}));
}

void add_norm_backward(std::vector<ConformanceCase>& cases, const CaseTypes& types, std::int64_t rows,
                       std::int64_t hidden, bool centred, bool accumulate, bool accumulate_d_x) {
  CaseBuilder b(shaped(centred ? "layer_norm_backward" : "rms_norm_backward", {rows, hidden}) +
                    (accumulate ? " accumulate" : "") + (accumulate_d_x ? " accumulate_d_x" : ""),
                types);
  const Doubles x = b.random(rows * hidden, 2), weight = b.random(hidden), d_out = b.random(rows * hidden);
  const auto forward = reference::norm(x, weight, {}, weight.size(), 1e-5, centred);
  auto want = reference::norm_backward(d_out, x, weight, 1e-5, centred);
  const Doubles old_x = b.random(rows * hidden), old_weight = b.random(hidden), old_bias = b.random(hidden);
  if (accumulate_d_x) want.d_x = plus(want.d_x, old_x);
  if (accumulate) want.d_weight = plus(want.d_weight, old_weight), want.d_bias = plus(want.d_bias, old_bias);
  const Region d = b.in(d_out), x_in = b.in(x), w = b.in(weight), rstd = b.in(forward.rstd, DType::kF32);
  const Region d_x = accumulate_d_x ? b.in(old_x) : b.out(rows * hidden);
  const Region d_w = accumulate ? b.in(old_weight, types.gradient) : b.out(hidden, types.gradient);
  b.expect(d_x, want.d_x, {2e-5, hidden == 1 ? 1e-3 : 2e-5});  // one element: its gradient is a difference of equals
  b.expect(d_w, want.d_weight, sum_tolerance(8 * rows));
  if (!centred) {
    cases.push_back(b.build(RmsNormBackward{d, x_in, w, rstd, d_x, d_w, rows, hidden, accumulate, accumulate_d_x}));
    return;
  }
  const Region mean = b.in(forward.mean, DType::kF32);
  const Region d_b = accumulate ? b.in(old_bias, types.gradient) : b.out(hidden, types.gradient);
  b.expect(d_b, want.d_bias, sum_tolerance(rows));
  cases.push_back(
      b.build(LayerNormBackward{d, x_in, w, mean, rstd, d_x, d_w, d_b, rows, hidden, accumulate, accumulate_d_x}));
}

}  // namespace

void add_norm_cases(std::vector<ConformanceCase>& cases) {
  for (const auto& [rows, hidden] :
       {std::pair{1, 1}, {1, 2}, {3, 7}, {5, 16}, {31, 17}, {32, 33}, {33, 64}, {67, 131}, {40, 1031}}) {
    for (const bool centred : {false, true}) {
      for (const DType dtype : kFloats) {
        add_norm(cases, dtype, rows, hidden, centred, false);
        if (centred) add_norm(cases, dtype, rows, hidden, centred, true);
      }
      for (const CaseTypes& types : kCaseTypes) {
        for (const bool accumulate : {false, true}) {
          add_norm_backward(cases, types, rows, hidden, centred, accumulate, true);
          add_norm_backward(cases, types, rows, hidden, centred, accumulate, false);
        }
      }
    }
  }
}

namespace {

/// Random numbers, with some far out at both ends.
Doubles activation_inputs(CaseBuilder& b, DType dtype, std::int64_t n) {
  Doubles x = b.random(n, 2);
  const Doubles far = {0, -0.0, 100, -100, 20, -20, 9.5, -9.5, 88, -88, 1e-6, -1e-30};
  for (std::size_t i = 0; i < std::min(far.size(), x.size() / 2); ++i) x[2 * i] = rounded(dtype, far[i]);
  return x;
}

void add_activation(std::vector<ConformanceCase>& cases, DType dtype, ActivationKind kind, std::int64_t n) {
  const std::string name = std::string(to_string(kind)) + " " + std::to_string(n);
  CaseBuilder b("activation " + name, dtype);
  const Doubles x = activation_inputs(b, dtype, n), d_out = b.random(n);
  Doubles value, slope;
  for (std::size_t i = 0; i < x.size(); ++i) {
    value.push_back(reference::activation(kind, x[i]));
    slope.push_back(d_out[i] * reference::activation_slope(kind, x[i]));
  }
  const Region x_in = b.in(x), out = b.out(n);
  b.expect(out, value, {2e-6, 5e-7});
  cases.push_back(b.build(Activation{x_in, out, kind}));
  for (const bool in_place : {false, true}) {
    CaseBuilder back("activation_backward " + name + (in_place ? " in place" : ""), dtype);
    const Region xb = back.in(x), d = back.in(d_out), d_x = in_place ? d : back.out(n);
    back.expect(d_x, slope, {2e-6, 2e-6});
    cases.push_back(back.build(ActivationBackward{xb, d, d_x, kind}));
  }
}

void add_swiglu(std::vector<ConformanceCase>& cases, DType dtype, std::int64_t n) {
  constexpr auto kSilu = ActivationKind::kSilu;
  CaseBuilder b(shaped("swiglu", {n}), dtype);
  const Doubles gate = activation_inputs(b, dtype, n), up = b.random(n), d_out = b.random(n);
  Doubles out, d_gate, d_up;
  for (std::size_t i = 0; i < gate.size(); ++i) {
    out.push_back(reference::activation(kSilu, gate[i]) * up[i]);
    d_gate.push_back(d_out[i] * up[i] * reference::activation_slope(kSilu, gate[i]));
    d_up.push_back(d_out[i] * reference::activation(kSilu, gate[i]));
  }
  SwiGlu op{b.in(gate), b.in(up), b.out(n)};
  b.expect(op.out, out, {2e-6, 1e-6});
  cases.push_back(b.build(op));
  CaseBuilder back(shaped("swiglu_backward", {n}), dtype);
  SwiGluBackward backward{back.in(gate), back.in(up), back.in(d_out), back.out(n), back.out(n)};
  back.expect(backward.d_gate, d_gate, {3e-6, 3e-6});
  back.expect(backward.d_up, d_up, {3e-6, 1e-6});
  cases.push_back(back.build(backward));
}

void add_rope(std::vector<ConformanceCase>& cases, DType dtype, std::int64_t rows, std::int64_t heads,
              std::int64_t head_dim, std::int64_t seq, const SequencePart& part, bool inverse) {
  CaseBuilder b(shaped("rope", {rows, heads, head_dim, seq, part.start, part.jump}) + (inverse ? " inverse" : ""),
                dtype);
  const Doubles x = b.random(rows * heads * head_dim);
  const Rope op{b.in(x), rows, heads, head_dim, seq, 10000, inverse, part};
  b.expect(op.x, reference::rope(op, x), {1e-6, 1e-6});
  const ConformanceCase test = b.build(op);
  cases.push_back(test);
  if (head_dim % 16 == 0) cases.push_back(aligned(test));
}

}  // namespace

void add_activation_cases(std::vector<ConformanceCase>& cases) {
  for (const DType dtype : kFloats) {
    for (const std::int64_t n : {1, 2, 7, 16, 17, 33, 64, 131, 1031, 40009}) {
      for (const auto kind :
           {ActivationKind::kGeluTanh, ActivationKind::kGeluErf, ActivationKind::kRelu, ActivationKind::kSilu}) {
        if (n > 40000 && dtype != DType::kF32 && kind != ActivationKind::kGeluTanh) continue;  // slow to check
        add_activation(cases, dtype, kind, n);
      }
      add_swiglu(cases, dtype, n);
    }
    for (const bool inverse : {false, true}) {
      add_rope(cases, dtype, 1, 1, 2, 1, {}, inverse);
      add_rope(cases, dtype, 6, 3, 10, 3, {}, inverse);
      add_rope(cases, dtype, 4, 1, 64, 4, {}, inverse);
      add_rope(cases, dtype, 34, 2, 34, 17, {}, inverse);
      add_rope(cases, dtype, 300, 3, 66, 150, {}, inverse);
      add_rope(cases, dtype, 12, 2, 6, 4, {5, 11}, inverse);
      add_rope(cases, dtype, 6, 1, 8, 3, {40, 0}, inverse);
    }
  }
}

}  // namespace shardscope
