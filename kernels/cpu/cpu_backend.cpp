#include "kernels/cpu/cpu_backend.h"

#include <omp.h>

#include <array>
#include <memory>

#include "core/check.h"
#include "core/error.h"
#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/kernel.h"
#include "kernels/cpu/lane_worker.h"

namespace shardscope {
namespace {

class CpuBackend final : public Backend {
 public:
  CpuBackend(int threads, const Loops& loops) : threads_(threads), loops_(loops) {
    for (int i = 0; i < kLanes; ++i) {
      const int lane_threads = uses_all_threads(static_cast<Lane>(i)) ? threads_ : 1;
      auto state = std::make_shared<LaneState>();  // shared: std::function copies what it holds
      lanes_[static_cast<std::size_t>(i)] = std::make_unique<LaneWorker>(
          [this, state, lane_threads](const LaneWorker::OpWork& work) { run_here(work, *state, lane_threads); },
          failure_);
    }
  }

  std::string_view name() const override { return "cpu"; }
  bool supports(const Program& program, const Op& op) const override { return runs(program, op); }

  std::byte* allocate(Space space, std::int64_t bytes) override {
    if (space == Space::kNvme) {
      throw Error(ErrorKind::kUnsupported,
                  "the CPU backend has no nvme space; it holds device, pinned and host memory");
    }
    return map_memory(bytes);
  }
  void release(Space, std::byte* data, std::int64_t bytes) override { unmap_memory(data, bytes); }

  void run(const Op& op, const Memory& memory, const StepScalars& scalars, Lane lane) override {
    worker(lane).push(LaneWorker::OpWork{&op, &memory, &scalars});
  }
  void call(Lane lane, std::function<void()> work) override { worker(lane).push(std::move(work)); }
  void stamp(Lane lane, std::function<void(std::int64_t)> then) override { worker(lane).push_stamp(std::move(then)); }
  std::int64_t record(Lane lane) override { return worker(lane).push_point(); }
  void wait(Lane lane, Lane other, std::int64_t point) override { worker(lane).push_wait(worker(other), point); }

  void on_failure(std::function<void(const std::exception_ptr&)> notify) override {
    failure_.on_first(std::move(notify));
  }

  std::optional<const Op*> running(Lane lane) const override {
    return lanes_[static_cast<std::size_t>(lane)]->running();
  }

  void synchronize() override {
    for (const auto& lane : lanes_) lane->drain();
    failure_.rethrow();
  }

 private:
  static bool uses_all_threads(Lane lane) { return lane == Lane::kCompute || lane == Lane::kHost; }

  LaneWorker& worker(Lane lane) { return *lanes_[static_cast<std::size_t>(lane)]; }

  void run_here(const LaneWorker::OpWork& work, LaneState& state, int threads) const {
    omp_set_num_threads(threads);  // of this thread: what oneDNN goes by
    state.scratch.reset();
    Kernel kernel{*work.memory, *work.scalars, loops_, state, threads};
    run_op(*work.op, kernel);
  }

  int threads_;
  const Loops& loops_;
  Failure failure_;
  std::array<std::unique_ptr<LaneWorker>, kLanes> lanes_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(int threads, Isa isa) {
  SS_CHECK(threads >= 1, threads);
#ifdef __SANITIZE_THREAD__
  threads = 1;  // the thread sanitizer cannot see into OpenMP's barriers
#endif
  return std::make_unique<CpuBackend>(threads, loops_of(isa));
}

std::unique_ptr<Backend> make_cpu_backend(int threads) { return make_cpu_backend(threads, best_isa()); }

}  // namespace shardscope
