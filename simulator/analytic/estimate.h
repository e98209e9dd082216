#pragma once
// The closed form: memory and time of a step of one plan, without lowering it to programs. Fast enough to rank millions
// of plans (tests/bench/estimate_bench.cpp); the event level confirms what it finds.
//
//   Estimator estimator(workload, target, framework);   // tables fill as sizes are first met; one per thread
//   Estimate e = estimator.estimate(plan);
//   e.step_time_s, e[TimeTerm::kBubble], e.allocated
//
// Formula of a step, 1F1B: (m - 1) times the slowest stage's micro-batch + one micro-batch of every stage, + what of
// gradients' reduction does not hide behind the last backward, + update.

#include <cstdint>
#include <memory>

#include "core/spec/hardware.h"
#include "core/spec/model_spec.h"
#include "simulator/analytic/constants.h"
#include "simulator/analytic/framework.h"
#include "simulator/analytic/plan.h"
#include "simulator/analytic/target.h"

namespace shardscope {

struct EstimateNotes;

struct Workload {
  ModelSpec model;
  std::int64_t seq = 0;
  Arithmetic arithmetic = Arithmetic::kBf16;  ///< of matrix products; fp8 and fp4 keep the rest in bf16
  bool causal_halved = true;                  ///< attention kernels skip the masked half (flash)
  double capacity_factor = 0;                 ///< experts; 0: no token is dropped
  double expert_imbalance = 1;                ///< tokens of the fullest rank over the mean
};

/// Bytes of an activation: products in fp32 and tf32 read fp32, all narrower ones leave 16 bits.
double activation_bytes(Arithmetic);

class Estimator {
 public:
  Estimator(const Workload&, const Target&, const FrameworkSpec&, const Constants& = default_constants());
  ~Estimator();
  Estimator(Estimator&&) noexcept;
  Estimator& operator=(Estimator&&) noexcept;

  /// The plan must be legal (check_plan). No allocation once the sizes (micro-batch, tp, cp, ep, sp, recompute) were
  /// met.
  Estimate estimate(const Plan&, EstimateNotes* notes = nullptr);

  const Workload& workload() const;
  const Target& target() const;
  const FrameworkSpec& framework() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Empty, or the one reason why the plan cannot run: "tp 3 does not divide 32 heads".
std::string find_plan_problem(const Workload&, const Target&, const Plan&);

}  // namespace shardscope
