#pragma once
// A catalog of one kind of GPU that stays as it is whatever data/hardware says, and results made by hand, so that
// pictures of them do not move with a calibration.

#include "gui/models/plan_result.h"

namespace shardscope::gui::testing {

/// 4 dots of each kind: on the front, beaten, not fitting, not legal.
inline PlanResult made_result() {
  PlanResult r;
  Candidate c;
  c.workload.seq = 8192;
  c.target.gpu.name = "h100-sxm", c.target.gpu.title = "NVIDIA H100 SXM 80 GB";
  c.target.gpu.memory = Bytes(80e9);
  c.target.system.name = "dgx-h100", c.target.system.title = "NVIDIA DGX H100";
  c.framework.name = "megatron";
  c.counts = {8, 16, 32, 64, 128, 256};
  r.request.candidates = {c};
  r.request.global_batch = 256;
  r.searched = 174528;
  const auto add = [&](int gpus, int tp, int zero, double days, double usd, double used_gb, bool front, bool fits) {
    PlanDot d;
    Plan& p = d.point.plan;
    p.gpus = gpus, p.tp = tp, p.dp = gpus / tp, p.zero = zero, p.global_batch = 256;
    d.point.run.days = days, d.point.run.cost_usd = usd, d.point.run.mean_kw = 0.9 * gpus;
    Estimate& e = d.point.estimate;
    e.step_time_s = days / 10, e.used = used_gb * 1e9;
    e[TimeTerm::kMatmul] = 0.6 * e.step_time_s, e[TimeTerm::kAttention] = 0.1 * e.step_time_s;
    e[TimeTerm::kTensor] = 0.08 * e.step_time_s, e[TimeTerm::kData] = 0.15 * e.step_time_s;
    e[TimeTerm::kBubble] = 0.04 * e.step_time_s, e[TimeTerm::kOptimizer] = 0.03 * e.step_time_s;
    e[MemoryTerm::kParameters] = 0.2 * e.used, e[MemoryTerm::kGradients] = 0.15 * e.used;
    e[MemoryTerm::kOptimizer] = 0.25 * e.used, e[MemoryTerm::kActivations] = 0.3 * e.used;
    e[MemoryTerm::kLogits] = 0.03 * e.used, e[MemoryTerm::kContext] = 0.04 * e.used;
    e[MemoryTerm::kFragmentation] = 0.03 * e.used;
    e.fits = fits;
    d.low = 0.86, d.high = 1.24;
    d.front = front, d.fits = fits;
    if (!fits) d.problem = "12.0 GB too much for the GPU";
    r.dots.push_back(d);
  };
  add(256, 1, 3, 21, 390e3, 71, true, true);
  add(128, 1, 3, 40, 375e3, 68, true, true);
  add(64, 2, 1, 77, 362e3, 66, true, true);
  add(32, 1, 2, 150, 355e3, 74, true, true);
  add(128, 8, 1, 52, 480e3, 40, false, true);
  add(64, 8, 0, 98, 500e3, 72, false, true);
  add(128, 1, 0, 43, 400e3, 92, false, false);
  add(32, 1, 1, 160, 371e3, 92, false, false);
  r.recommended = 1;
  return r;
}

inline Relief made_relief() {
  return {TimeTerm::kMatmul, 0.6, {{"twice the peak", -0.28}, {"twice the NIC", -0.11}, {"twice the NVLink", -0.03}}};
}

}  // namespace shardscope::gui::testing
