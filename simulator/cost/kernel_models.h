#pragma once
// Seconds of matrix products and of attention on `threads` cores of one machine, between the shapes it measured.

#include <map>
#include <span>

#include "core/program/ops.h"
#include "simulator/cost/fitted_model.h"
#include "simulator/machine.h"

namespace shardscope {

/// Formula:   t = c0 + c1 mnk + c2 mn + c3 mk + c4 kn, times a correction from measured neighbours; one fit per number
///            of threads and transposition. c1 is the inverse rate of the inner loop, the others packing and traffic.
/// Units:     elements in, seconds out.
/// Validity:  fp32; between the measured sizes, and outside by the fitted terms. Numbers of threads between two
///            measured ones are interpolated in log threads.
/// Leaves out: where the operands lie (cache or memory) beyond what the measurement had.
/// Source:    calibrate (Machine::matmuls).
class MatMulModel {
 public:
  explicit MatMulModel(std::span<const MatMulPoint> points);
  Seconds time(const MatMul& op, DType dtype, int threads) const;

 private:
  struct Key {
    DType dtype;
    bool trans_a, trans_b, accumulate;
    auto operator<=>(const Key&) const = default;
  };
  const std::map<int, FittedModel>& models_for(const MatMul& op, DType dtype) const;
  std::map<Key, std::map<int, FittedModel>> models_;
};

/// Formula:   per key/value head of one sequence, u = c0 + c1 S q + c2 S d q + c3 V q + c4 V d q (q query heads per
///            key/value head; V = 2 * visible pairs - S, which is S^2 where all of a sequence is there), with the
///            neighbours' correction at sqrt(V); t = u * units, units = the most that one thread gets of
///            batch * kv_heads.
/// Validity:  as MatMulModel; measured on whole sequences (causal), fp32. Other spans by their pairs: a Guess.
/// Source:    calibrate (Machine::attentions).
class AttentionModel {
 public:
  explicit AttentionModel(std::span<const AttentionPoint> points);
  Seconds time(const Attention& op, DType dtype, int threads) const;
  Seconds time(const AttentionBackward& op, DType dtype, int threads) const;

 private:
  struct Shape {
    double batch, seq, heads, kv_heads, head_dim, square;  ///< square: V above
  };
  template <class Op>
  static Shape shape_of(const Op& op);
  static FitSample sample(const Shape& shape);
  Seconds time(const Shape& shape, bool backward, DType dtype, int threads) const;
  std::map<std::pair<DType, bool>, std::map<int, FittedModel>> models_;  ///< by dtype and backward?, then threads
};

}  // namespace shardscope
