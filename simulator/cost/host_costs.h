#pragma once
// Costs of ops whose ranks are threads of one machine.
//
// Shared: "cores" (an op of a rank's compute lane draws its threads, one of another lane draws one core, a collective
// one per rank), "memory bandwidth" (what ops draw whose working set is past the caches) and "nvme" (a transfer at full
// speed draws 1; all ranks' swap files lie on one drive).

#include "simulator/cost/cost_model.h"
#include "simulator/cost/kernel_models.h"
#include "simulator/cost/thin_products.h"
#include "simulator/machine.h"
#include "simulator/network/thread_collectives.h"

namespace shardscope {

class HostCosts : public CostModel {
 public:
  /// `ranks`: of the whole job; they share the machine's cores out equally.
  HostCosts(const Machine& machine, int ranks);

  const std::vector<Resource>& resources() const override { return resources_; }
  OpCost cost(const Program& program, const Instruction& instruction) const override;
  Seconds wake_latency() const override { return machine_.wake_latency; }
  Seconds step_overhead() const override { return machine_.step_overhead; }
  FlopPerSecond peak_per_rank(DType /*dtype*/) const override { return machine_.peak_per_rank(ranks_); }
  bool calibrated() const override { return machine_.calibrated; }

  int threads() const { return threads_; }
  /// Threads that an op on this lane runs on.
  int threads_of(Lane lane) const { return lane == Lane::kCompute || lane == Lane::kHost ? threads_ : 1; }
  /// Of one op, without its lane's overhead. A family that was not measured: its fp32 kin, else copies.
  Seconds family_time(const std::string& family, double work, int threads) const;

 private:
  OpCost collective_cost(const Program& program, const Instruction& instruction) const;
  OpCost kernel_cost(const Op& op, Seconds time, int threads) const;
  OpCost fp8_cost(const MatMul& op, int threads) const;
  OpCost nvme_cost(const Program& program, const Region& moved, const Curve& curve) const;
  OpCost thin_cost(const ThinProduct& thin, const Op& op, int threads) const;
  OpCost family_cost(const Program& program, const Op& op, int threads) const;
  std::vector<Demand> demands(double cores, Bytes bytes, Seconds time) const;

  Machine machine_;
  int ranks_, threads_;
  std::vector<Resource> resources_;
  MatMulModel matmul_;
  AttentionModel attention_;
  ThreadCollectives collectives_;
  std::map<std::string, std::map<int, Curve>, std::less<>> families_;
};

}  // namespace shardscope
