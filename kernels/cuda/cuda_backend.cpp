#include "kernels/cuda/cuda_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string_view>
#include <thread>

#include "core/check.h"
#include "core/engine/hub.h"
#include "core/engine/waiting.h"
#include "core/error.h"
#include "kernels/cpu/host_memory.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/kernel.h"
#include "kernels/cpu/lane_worker.h"
#include "kernels/cuda/devices.h"
#include "kernels/cuda/events.h"
#include "kernels/cuda/kernel.h"
#include "kernels/cuda/lane_progress.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/nccl_communicator.h"
#include "kernels/cuda/op_graphs.h"
#include "kernels/cuda/op_range.h"
#include "kernels/cuda/staged_communicator.h"

namespace shardscope {
namespace {

/// How long waiting may keep a core busy: longer than the gaps between kernels.
constexpr std::int64_t kSpinForNs = 200'000;

/// Lanes whose work the host processor does, in host memory.
bool is_host_lane(Lane lane) { return lane == Lane::kHost || lane == Lane::kNvmeRead || lane == Lane::kNvmeWrite; }

/// Not where somebody watches op by op: a range of each (op_range.h), or the error of each as it comes.
bool may_use_graphs() {
  const char* const blocking = std::getenv("CUDA_LAUNCH_BLOCKING");
  return !cuda::is_watched() && (blocking == nullptr || std::string_view(blocking) == "0");
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options)
      : options_(options),
        uses_graphs_(options.graphs && may_use_graphs()),
        device_(cuda::open_device(options.device)),
        events_(cudaEventDisableTiming),
        marks_(0) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      states_[i] = std::make_unique<cuda::LaneState>(device_, options.tf32, options.most_moved);
      lanes_[i] = std::make_unique<LaneWorker>(
          [this, i](const LaneWorker::OpWork& work) { run_here(work, static_cast<Lane>(i)); }, failure_);
    }
  }
  ~CudaBackend() override {
    for (auto& lane : lanes_) lane.reset();  // the threads first
  }

  std::string_view name() const override { return "cuda"; }
  bool supports(const Program& program, const Op& op) const override {
    return cuda::runs(program, op) && why_not(op).empty();
  }
  std::string why_not(const Op& op) const override {
    const auto* product = std::get_if<MatMul>(&op);
    if (product == nullptr || !product->in_fp8() || device_.compute >= 89) return {};
    return fmt::format("fp8 needs a GPU of compute capability 8.9 (Ada, Hopper) or later; GPU {} ({}) has {}.{}",
                       device_.index, device_.name, device_.compute / 10, device_.compute % 10);
  }

  std::byte* allocate(Space space, std::int64_t bytes) override;
  void release(Space space, std::byte* data, std::int64_t bytes) override;
  void copy_out(const std::byte* from, void* to, std::int64_t bytes) const override {
    copy_now(to, from, bytes, "cudaMemcpy (out of device memory)");
  }
  void copy_in(std::byte* to, const void* from, std::int64_t bytes) const override {
    copy_now(to, from, bytes, "cudaMemcpy (into device memory)");
  }

  void run(const Op& op, const Memory& memory, const StepScalars& scalars, Lane lane) override {
    worker(lane).push(LaneWorker::OpWork{&op, &memory, &scalars});
  }
  std::unique_ptr<OpSequence> keep(std::span<const Op* const> ops, const Memory& memory, Lane lane) override {
    if (!uses_graphs_ || is_host_lane(lane) || ops.size() < cuda::OpGraphs::kLeast) return nullptr;
    return std::make_unique<cuda::OpGraphs>(ops, memory, lane, device_lane(lane));
  }
  void run(OpSequence& sequence, const StepScalars& scalars) override {
    auto& graphs = static_cast<cuda::OpGraphs&>(sequence);  // keep() makes no others
    worker(graphs.lane()).push([&graphs, &scalars] { graphs.run(scalars); });
  }
  void call(Lane lane, std::function<void()> work) override {
    if (is_host_lane(lane)) return worker(lane).push(std::move(work));
    worker(lane).push([this, lane, work = std::move(work)] {
      wait_for_lane(lane);
      work();
    });
  }
  void call_op(const Op& op, const Memory& memory, Lane lane, std::function<void()> work) override {
    worker(lane).push([this, lane, &op, &program = *memory.program, work = std::move(work)] {
      const cuda::OpRange range(program, op, device_.index);
      if (!is_host_lane(lane)) cuda::name_errors(program, op, [&] { wait_for_lane(lane); });
      work();
    });
  }
  void enqueue(const Op& op, const Memory& memory, Lane lane, std::function<void()> work) override {
    worker(lane).push([this, lane, &op, &program = *memory.program, work = std::move(work)] {
      const cuda::OpRange range(program, op, device_.index);
      state(lane).open();
      work();
      cuda::name_errors(program, op, [&] { progress_[index(lane)].passed(program, op, state(lane).stream()); });
    });
  }
  std::optional<const Op*> running(Lane lane) const override;
  void stamp(Lane lane, std::function<void(std::int64_t)> then) override;
  void mark_step(std::optional<std::int64_t> step) override { cuda::mark_step(step); }
  std::int64_t record(Lane lane) override;
  void wait(Lane lane, Lane other, std::int64_t point) override;
  void on_failure(std::function<void(const std::exception_ptr&)> notify) override {
    failure_.on_first(std::move(notify));
  }
  void synchronize() override;
  std::unique_ptr<Communicator> on_device(std::unique_ptr<Communicator> host, Lane lane) override;

 private:
  struct Point {
    std::int64_t number;
    cudaEvent_t event;  ///< null: of a lane of host work
  };
  struct Mark {
    cudaEvent_t event;
    std::function<void(std::int64_t)> then;
  };

  static std::size_t index(Lane lane) { return static_cast<std::size_t>(lane); }
  LaneWorker& worker(Lane lane) { return *lanes_[index(lane)]; }
  cuda::LaneState& state(Lane lane) { return *states_[index(lane)]; }
  cuda::DeviceLane device_lane(Lane lane) { return {state(lane), progress_[index(lane)]}; }

  void run_here(const LaneWorker::OpWork& work, Lane lane);
  void run_on_host(const LaneWorker::OpWork& work);
  void copy_now(void* to, const void* from, std::int64_t bytes, const char* what) const;
  cudaEvent_t event_of(Lane lane, std::int64_t point) const;
  void write_stamps();
  template <class Query>
  void wait_until_done(const Query& query, const char* what);
  void wait_for_lane(Lane lane) {
    state(lane).open();
    wait_for(state(lane).stream(), "cudaStreamQuery");
  }
  void wait_for(cudaStream_t stream, const char* what) {
    wait_until_done([stream] { return cudaStreamQuery(stream); }, what);
  }
  void give_up_with_peers();
  [[noreturn]] void rethrow_with_places(const Error& error);

  CudaOptions options_;
  const bool uses_graphs_;
  cuda::DeviceInfo device_;
  Failure failure_;
  cuda::EventPool events_, marks_;                 ///< of points, and (timed) of stamps; the rank's thread takes them
  std::array<std::vector<Point>, kLanes> points_;  ///< of each lane in this step, in order
  std::vector<Mark> stamps_;
  std::vector<cuda::NcclCommunicator*> communicators_;  ///< that live
  std::mutex giving_up_;
  shardscope::LaneState host_state_;
  std::array<std::unique_ptr<cuda::LaneState>, kLanes> states_;
  mutable std::array<cuda::LaneProgress, kLanes> progress_;
  std::array<std::unique_ptr<LaneWorker>, kLanes> lanes_;
};

std::byte* CudaBackend::allocate(Space space, std::int64_t bytes) {
  if (space == Space::kNvme) throw Error(ErrorKind::kUnsupported, "the CUDA backend has no nvme space");
  if (space == Space::kHost) return map_memory(bytes);
  void* data = nullptr;
  const auto size = static_cast<std::size_t>(bytes);
  cuda::check(cudaSetDevice(device_.index), "cudaSetDevice");
  if (space == Space::kPinned) {
    cuda::check(cudaHostAlloc(&data, size, cudaHostAllocPortable), "cudaHostAlloc");
    std::memset(data, 0, size);
    return static_cast<std::byte*>(data);
  }
  if (const cudaError_t status = cudaMalloc(&data, size); status != cudaSuccess) {
    (void)cudaGetLastError();  // not sticky: the next call starts clean
    throw cuda::out_of_memory(device_, bytes, "for the program", status);
  }
  cuda::check(cudaMemset(data, 0, size), "cudaMemset");
  // It returns before it is done, and the lanes' streams do not wait for the default stream.
  cuda::check(cudaStreamSynchronize(cudaStreamLegacy), "cudaStreamSynchronize");
  return static_cast<std::byte*>(data);
}

void CudaBackend::release(Space space, std::byte* data, std::int64_t bytes) {
  if (space == Space::kHost) return unmap_memory(data, bytes);
  (void)cudaSetDevice(device_.index);
  (void)(space == Space::kPinned ? cudaFreeHost(data) : cudaFree(data));  // after a sticky error nothing can be freed
}

void CudaBackend::copy_now(void* to, const void* from, std::int64_t bytes, const char* what) const {
  cuda::check(cudaSetDevice(device_.index), "cudaSetDevice");
  cuda::check(cudaMemcpy(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDefault), what);
  // From pageable memory it returns when it has read the source: our streams could come before the data.
  cuda::check(cudaStreamSynchronize(cudaStreamLegacy), what);
}

void CudaBackend::run_here(const LaneWorker::OpWork& work, Lane lane) {
  if (is_host_lane(lane)) return run_on_host(work);
  cuda::launch(*work.op, *work.memory, *work.scalars, device_lane(lane));
}

void CudaBackend::run_on_host(const LaneWorker::OpWork& work) {
  omp_set_num_threads(options_.host_threads);  // of this thread: what oneDNN goes by
  host_state_.scratch.reset();
  shardscope::Kernel kernel{*work.memory, *work.scalars, loops_of(best_isa()), host_state_, options_.host_threads};
  shardscope::run_op(*work.op, kernel);
}

/// What the thread is at, or what the stream is at.
std::optional<const Op*> CudaBackend::running(Lane lane) const {
  const Op* const issuing = lanes_[index(lane)]->running();
  if (issuing != nullptr || is_host_lane(lane)) return issuing;
  return progress_[index(lane)].running();
}

/// The event is taken here, so that the lanes' threads share nothing but it.
std::int64_t CudaBackend::record(Lane lane) {
  const cudaEvent_t event = is_host_lane(lane) ? nullptr : events_.take();
  if (event != nullptr) {
    worker(lane).push([&state = state(lane), event] {
      state.open();
      cuda::check(cudaEventRecord(event, state.stream()), "cudaEventRecord");
    });
  }
  points_[index(lane)].push_back({worker(lane).push_point(), event});
  return points_[index(lane)].back().number;
}

cudaEvent_t CudaBackend::event_of(Lane lane, std::int64_t point) const {
  const std::vector<Point>& points = points_[index(lane)];
  const auto found = std::lower_bound(points.begin(), points.end(), point,
                                      [](const Point& p, std::int64_t number) { return p.number < number; });
  SS_CHECK(found != points.end() && found->number == point, point);
  return found->event;
}

/// First the threads, so that the event is recorded before it is waited for; then the streams.
void CudaBackend::wait(Lane lane, Lane other, std::int64_t point) {
  worker(lane).push_wait(worker(other), point);
  const cudaEvent_t event = event_of(other, point);
  if (event == nullptr) return;
  worker(lane).push([this, &state = state(lane), event, on_host = is_host_lane(lane)] {
    if (on_host)
      return wait_until_done([event] { return cudaEventQuery(event); }, "cudaEventQuery (waiting for another lane)");
    state.open();
    cuda::check(cudaStreamWaitEvent(state.stream(), event, 0), "cudaStreamWaitEvent");
  });
}

void CudaBackend::stamp(Lane lane, std::function<void(std::int64_t)> then) {
  if (is_host_lane(lane)) return worker(lane).push_stamp(std::move(then));
  stamps_.push_back({marks_.take(), std::move(then)});
  worker(lane).push([&state = state(lane), event = stamps_.back().event] {
    state.open();
    cuda::check(cudaEventRecord(event, state.stream()), "cudaEventRecord");
  });
}

/// GPU times by the host's clock: an event recorded now tells how far apart the two are, to a few microseconds.
void CudaBackend::write_stamps() {
  if (stamps_.empty()) return;
  const cudaEvent_t now = marks_.take();
  cuda::check(cudaEventRecord(now, nullptr), "cudaEventRecord");  // our streams and that one do not wait for each other
  cuda::check(cudaEventSynchronize(now), "cudaEventSynchronize");
  const std::int64_t now_ns = steady_now_ns();
  for (const Mark& mark : stamps_) {
    float ms = 0;
    cuda::check(cudaEventElapsedTime(&ms, mark.event, now), "cudaEventElapsedTime");
    mark.then(now_ns - static_cast<std::int64_t>(static_cast<double>(ms) * 1e6));
  }
  stamps_.clear();
  marks_.take_back_all();
}

/// As cudaStreamSynchronize, but a collective whose peer is gone would never end: then all of ours are given up.
template <class Query>
void CudaBackend::wait_until_done(const Query& query, const char* what) {
  const std::int64_t start = steady_now_ns();
  cudaError_t status = cudaSuccess;
  while ((status = query()) == cudaErrorNotReady) {
    give_up_with_peers();
    if (steady_now_ns() - start < kSpinForNs) continue;
    for (cuda::LaneProgress& progress : progress_) progress.look();
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
  cuda::check(status, what);
}

/// An error that nobody's call made: where each lane was. A device that fails does not say in which op.
void CudaBackend::rethrow_with_places(const Error& error) {
  std::string places;
  for (std::size_t i = 0; i < kLanes; ++i) {
    const std::string place = progress_[i].place();
    if (!place.empty())
      places += fmt::format("{}{} at {}", places.empty() ? "" : ", ", to_string(static_cast<Lane>(i)), place);
  }
  throw Error(error.kind(), places.empty() ? error.what() : fmt::format("{}; not done yet: {}", error.what(), places));
}

/// Of the thread that comes first; others see that the lane ended.
void CudaBackend::give_up_with_peers() {
  const std::lock_guard lock(giving_up_);
  try {
    for (const cuda::NcclCommunicator* comm : communicators_) comm->check_health();
  } catch (...) {
    for (cuda::NcclCommunicator* comm : communicators_) comm->abort();
    throw;
  }
}

std::unique_ptr<Communicator> CudaBackend::on_device(std::unique_ptr<Communicator> host, Lane lane) {
  if (is_host_lane(lane)) return host;
  if (options_.shares_device) return std::make_unique<cuda::StagedCommunicator>(std::move(host), device_);
  return std::make_unique<cuda::NcclCommunicator>(std::move(host), state(lane), communicators_);
}

void CudaBackend::synchronize() {
  for (const auto& lane : lanes_) lane->drain();
  failure_.rethrow();
  cuda::check(cudaSetDevice(device_.index), "cudaSetDevice");
  for (std::size_t i = 0; i < kLanes; ++i) {
    if (states_[i]->stream() == nullptr) continue;
    const std::string what = fmt::format("cudaStreamQuery (lane {})", to_string(static_cast<Lane>(i)));
    try {
      wait_for(states_[i]->stream(), what.c_str());
    } catch (const PeerStopped&) {
      throw;
    } catch (const Error& error) {
      rethrow_with_places(error);
    }
  }
  write_stamps();
  for (std::vector<Point>& points : points_) points.clear();
  events_.take_back_all();
}

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  SS_CHECK(options.host_threads >= 1, options.host_threads);
  return std::make_unique<CudaBackend>(options);
}

}  // namespace shardscope
