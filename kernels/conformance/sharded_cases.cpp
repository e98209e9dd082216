// Ops of tensor parallelism: tables and losses of which a rank has a part. Each case is one rank's view of a whole that
// is computed in one piece.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/conformance/conformance.h"
#include "kernels/conformance/reference.h"

namespace shardscope {
namespace {

/// Part `part` of `parts` of a vocabulary: columns [first, first + real) in a matrix of `vocab` columns.
struct VocabPart {
  std::int64_t vocab, first, real;
  VocabPart(std::int64_t total, std::int64_t part, std::int64_t parts)
      : vocab((total + parts - 1) / parts),
        first(part * vocab),
        real(std::clamp<std::int64_t>(total - first, 0, vocab)) {}
};

/// This part's columns of a [rows, total] matrix; `padding` beyond the end.
Doubles columns(const Doubles& whole, std::int64_t rows, std::int64_t total, const VocabPart& part, double padding) {
  Doubles out(static_cast<std::size_t>(rows * part.vocab), padding);
  for (std::int64_t r = 0; r < rows; ++r) {
    std::copy_n(whole.begin() + r * total + part.first, part.real, out.begin() + r * part.vocab);
  }
  return out;
}

struct LossCase {
  std::int64_t rows, total, part, parts;
};

std::string name_of(const char* op, const LossCase& c) {
  std::string name = op;
  for (const std::int64_t n : {c.rows, c.total, c.part, c.parts}) name += " " + std::to_string(n);
  return name;
}

void add_sharded_loss(std::vector<ConformanceCase>& cases, DType dtype, const LossCase& c) {
  const auto& [rows, total, part_index, parts] = c;
  const VocabPart part(total, part_index, parts);
  CaseBuilder max_case(name_of("row_max", c), dtype), exp_case(name_of("shifted_exp", c), dtype);
  CaseBuilder loss_case(name_of("sharded_cross_entropy", c), dtype);
  const Doubles logits = max_case.random(rows * total, 5), targets = max_case.random_indices(rows, total);
  const auto want = reference::cross_entropy(logits, targets, static_cast<std::size_t>(total), 0.25);
  Doubles top, local_top, local_sums, all_sums, exps = logits;
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto row = logits.begin() + r * total, mine = row + part.first;
    top.push_back(*std::max_element(row, row + total));
    local_top.push_back(part.real == 0 ? -std::numeric_limits<double>::infinity()
                                       : *std::max_element(mine, mine + part.real));
    double all = 0, local = 0;
    for (std::int64_t i = 0; i < total; ++i) {
      double& e = exps[static_cast<std::size_t>(r * total + i)];
      e = std::exp(e - top.back());
      all += e;
      if (i >= part.first && i < part.first + part.real) local += e;
    }
    local_sums.push_back(local);
    all_sums.push_back(all);
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    const auto target = static_cast<std::int64_t>(targets[static_cast<std::size_t>(r)]);
    const double shifted = logits[static_cast<std::size_t>(r * total + target)] - top[static_cast<std::size_t>(r)];
    local_sums.push_back(target >= part.first && target < part.first + part.real ? shifted : 0);
    all_sums.push_back(shifted);
  }
  const Doubles local = columns(logits, rows, total, part, 99);  // padding that would show

  const RowMax row_max{max_case.in(local), max_case.out(rows, DType::kF32), rows, part.vocab, part.real};
  max_case.expect(row_max.top, local_top);
  cases.push_back(max_case.build(row_max));

  const ShiftedExp exp{exp_case.in(local),
                       exp_case.in(top, DType::kF32),
                       exp_case.in(targets, DType::kI32),
                       exp_case.out(2 * rows, DType::kF32),
                       rows,
                       part.vocab,
                       part.real,
                       part.first,
                       total};
  exp_case.expect(exp.logits, columns(exps, rows, total, part, 0), {2e-6, 1e-7});
  exp_case.expect(exp.sums, local_sums, {3e-6, 1e-6});
  cases.push_back(exp_case.build(exp));

  constexpr double kScale = 0.25, kLossScale = 8;
  Doubles gradient = columns(exps, rows, total, part, 0);
  for (double& e : gradient) e = rounded(dtype, e);
  const Region exponentials = loss_case.in(gradient);
  for (std::int64_t i = 0; i < rows * part.vocab; ++i) {
    const auto row = static_cast<std::size_t>(i / part.vocab);
    const bool is_target = static_cast<double>(part.first + i % part.vocab) == targets[row];
    double& g = gradient[static_cast<std::size_t>(i)];
    g = kLossScale * kScale * (g / all_sums[row] - (is_target ? 1 : 0));
  }
  loss_case.scalars().loss_scale = kLossScale;
  const ShardedCrossEntropy loss{exponentials,
                                 loss_case.in(all_sums, DType::kF32),
                                 loss_case.in(targets, DType::kI32),
                                 loss_case.in({1.5}, DType::kF32),
                                 rows,
                                 part.vocab,
                                 part.real,
                                 part.first,
                                 kScale};
  loss_case.expect(loss.logits, gradient, {3e-6, 2e-6});
  loss_case.expect(loss.loss, {1.5 + want.loss}, {3e-6, 1e-6});
  cases.push_back(loss_case.build(loss));
}

/// Tokens of other ranks' parts give zeros, and get no gradient.
void add_sharded_embedding(std::vector<ConformanceCase>& cases, DType dtype, std::int64_t part_index,
                           bool with_positions) {
  constexpr std::int64_t kRows = 14, kSeq = 7, kHidden = 17, kTotal = 11;
  const VocabPart part(kTotal, part_index, 3);
  const std::string suffix = " part " + std::to_string(part_index) + (with_positions ? " positions" : "");
  CaseBuilder b("embedding" + suffix, dtype), back("embedding_backward" + suffix, dtype);
  const Doubles tokens = b.random_indices(kRows, kTotal), table = b.random(part.vocab * kHidden),
                positions = b.random(kSeq * kHidden), d_out = b.random(kRows * kHidden);
  Doubles want(d_out.size()), d_table = b.random(part.vocab * kHidden), d_positions = b.random(kSeq * kHidden);
  EmbeddingBackward backward{back.in(tokens, DType::kI32),
                             back.in(d_out),
                             back.in(d_table),
                             {},
                             kRows,
                             kHidden,
                             kSeq,
                             part.vocab,
                             part.first,
                             kTotal};
  if (with_positions) backward.d_positions = back.in(d_positions);
  for (std::int64_t i = 0; i < kRows * kHidden; ++i) {
    const std::int64_t row = i / kHidden, col = i % kHidden;
    const std::int64_t local = static_cast<std::int64_t>(tokens[static_cast<std::size_t>(row)]) - part.first;
    const auto at = static_cast<std::size_t>(i), position = static_cast<std::size_t>(row % kSeq * kHidden + col);
    if (with_positions) want[at] = positions[position];
    d_positions[position] += d_out[at];
    if (local < 0 || local >= part.real) continue;
    want[at] += table[static_cast<std::size_t>(local * kHidden + col)];
    d_table[static_cast<std::size_t>(local * kHidden + col)] += d_out[at];
  }
  Embedding op{b.in(tokens, DType::kI32),
               b.in(table),
               {},
               b.out(kRows * kHidden),
               kRows,
               kHidden,
               kSeq,
               part.vocab,
               part.first,
               kTotal};
  if (with_positions) op.positions = b.in(positions);
  b.expect(op.out, want, {1e-7});
  cases.push_back(b.build(op));
  back.expect(backward.d_table, d_table, {1e-6, 1e-6});
  if (with_positions) back.expect(backward.d_positions, d_positions, {1e-6, 1e-6});
  cases.push_back(back.build(backward));
}

}  // namespace

void add_sharded_cases(std::vector<ConformanceCase>& cases) {
  for (const DType dtype : kFloats) {
    for (const LossCase& c : {LossCase{1, 2, 0, 2},
                              {3, 7, 0, 2},
                              {3, 7, 1, 2},
                              {5, 64, 3, 4},
                              {5, 5, 3, 4},
                              {33, 35, 1, 2},
                              {7, 1031, 2, 3},
                              {3, 50257, 1, 2}}) {
      add_sharded_loss(cases, dtype, c);
    }
    for (const std::int64_t part : {0, 1, 2}) {
      add_sharded_embedding(cases, dtype, part, false);
      add_sharded_embedding(cases, dtype, part, true);
    }
  }
}

}  // namespace shardscope
