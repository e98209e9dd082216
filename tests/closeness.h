#pragma once
// How far two runs of the same training may be apart.
//
//   expect_close(run(job), run(on_one_rank(job)), closeness_of(job));

#include <rapidcheck.h>

#include <cmath>

#include "core/engine/trainer.h"

namespace shardscope {

/// Largest relative differences that another order of summation, or rounding elsewhere, may make within kSteps steps.
struct Closeness {
  double loss, norm;
};
inline Closeness closeness_of(const Job& job) {
  // Rounding may send a token to another expert, or drop it: a step of its own, that no tolerance follows.
  if (job.model.experts > 0 && job.training.precision.kind != Precision::kFp32) return {0.1, 2};
  if (job.fp8.enabled) return {3e-2, 0.3};  // a part of a tensor has another scale than the whole
  switch (job.training.precision.kind) {
    case Precision::kBf16:
      return {1e-2, 0.1};
    case Precision::kFp16:
      return {2e-3, 0.1};
    case Precision::kFp32:
      break;
  }
  return {2e-5, 1e-3};
}

inline void expect_close(const TrainResult& a, const TrainResult& b, const Closeness& close) {
  RC_ASSERT(a.losses.size() == b.losses.size());
  for (std::size_t i = 0; i < a.losses.size(); ++i) {
    RC_ASSERT(std::isfinite(a.losses[i]));
    RC_ASSERT(std::abs(a.losses[i] - b.losses[i]) <= close.loss * std::abs(b.losses[i]));
    RC_ASSERT(std::abs(a.grad_norms[i] - b.grad_norms[i]) <= close.norm * std::abs(b.grad_norms[i]));
  }
  RC_ASSERT(a.skipped_steps == 0);
}

}  // namespace shardscope
