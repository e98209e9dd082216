#include "simulator/calibrate/probe.h"

#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <cmath>
#include <exception>
#include <thread>

#include "core/check.h"
#include "core/engine/float_convert.h"

namespace shardscope {

namespace {

constexpr std::int64_t kMostCopies = 64;
constexpr double kBatchSeconds = 1.5e-3;
constexpr int kBatches = 5;
constexpr double kMostProbeSeconds = 0.06;  // then two batches must do: on a busy machine a barrier can take long
constexpr std::int64_t kMostOps = 2000;

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

double lower_quartile(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 4];
}

}  // namespace

Region ProbeProgram::add(DType dtype, std::int64_t count) {
  Buffer buffer;
  buffer.name = "p" + std::to_string(program_.buffers.size());
  buffer.dtype = dtype;
  buffer.elements = count;
  buffer.persistent = true;
  buffer.address = next_address_;
  next_address_ += buffer.bytes();
  integers_.emplace_back();
  return program_.whole(program_.add_buffer(buffer));
}

Region ProbeProgram::tokens(std::int64_t count, std::int64_t limit) {
  const Region region = add(DType::kI32, count);
  integers_.back() = {0, limit};
  return region;
}

Region ProbeProgram::integers(std::int64_t count, std::int32_t value) {
  const Region region = add(DType::kI32, count);
  integers_.back() = {value, 1};
  return region;
}

void ProbeProgram::fill_memory(std::byte* base) const {
  std::array<float, 4099> pattern;  // a prime length, so that rows differ
  for (std::size_t i = 0; i < pattern.size(); ++i) pattern[i] = 0.01F * static_cast<float>(i % 97) - 0.48F;
  for (std::size_t b = 0; b < program_.buffers.size(); ++b) {
    const Buffer& buffer = program_.buffers[b];
    std::byte* const at = base + buffer.address;
    if (buffer.dtype == DType::kF64) std::fill_n(reinterpret_cast<double*>(at), buffer.elements, 1.0);
    if (buffer.dtype == DType::kI32) {
      for (std::int64_t i = 0; i < buffer.elements; ++i) {  // a multiplicative hash scatters them
        const Integers& range = integers_[b];
        reinterpret_cast<std::int32_t*>(at)[i] =
            static_cast<std::int32_t>(range.least + i * 2654435761LL % 65521 % range.limit);
      }
    }
    if (!is_floating(buffer.dtype) || buffer.dtype == DType::kF64) continue;
    const auto period = static_cast<std::int64_t>(pattern.size());
    for (std::int64_t i = 0; i < buffer.elements; i += period) {
      const auto n = static_cast<std::size_t>(std::min(period, buffer.elements - i));
      from_floats({pattern.data(), n}, buffer.dtype, at + i * size_of(buffer.dtype));
    }
  }
}

namespace {

// What the op before would have written: the gradient that comes in, or the first thing read.
Region fresh_input(const Op& op) {
  if (const auto* matmul = std::get_if<MatMul>(&op); matmul != nullptr && matmul->trans_a) return matmul->b;
  if (const auto* activation = std::get_if<ActivationBackward>(&op)) return activation->d_out;
  if (const auto* swiglu = std::get_if<SwiGluBackward>(&op)) return swiglu->d_out;
  Region first;
  for_each_access(op, [&](const char*, const Region& region, Access access) {
    if (first.empty() && access != Access::kWrite) first = region;
  });
  return first;
}

// Ops that leave `region` as it is, written half by half: threads that cut the whole in equal parts then find about
// half of their part in another core's cache.
std::vector<Op> rewrite_halves(const Program& program, const Region& region) {
  if (region.empty() || !is_floating(program.buffer(region.buffer).dtype)) return {};
  const std::int64_t half = region.count / 2;
  std::vector<Op> ops;
  if (half > 0) ops.emplace_back(Scale{region.part(0, half), 1.0});
  ops.emplace_back(Scale{region.part(half, region.count - half), 1.0});
  return ops;
}

}  // namespace

/// The ops of one probe, and each worker's memory for them.
struct ProbeTeam::Prepared {
  Prepared(ProbeTeam& team, const MakeOp& make, std::int64_t rotation_bytes) {
    do {
      ops.push_back(make(probe));
    } while (probe.size_bytes() < rotation_bytes && static_cast<std::int64_t>(ops.size()) < kMostCopies);
    for (const Op& op : ops) rewrites.push_back(rewrite_halves(probe.program(), fresh_input(op)));
    memories.resize(team.backends_.size());
    for (std::size_t w = 0; w < memories.size(); ++w) {
      memories[w].program = &probe.program();
      memories[w].bases[static_cast<int>(Space::kDevice)] = team.memory_of(w, probe.size_bytes());
    }
    team.run_workers([&](std::size_t w) { probe.fill_memory(memories[w].bases[static_cast<int>(Space::kDevice)]); });
  }

  ProbeProgram probe;
  std::vector<Op> ops;
  std::vector<std::vector<Op>> rewrites;  ///< by op
  std::vector<Memory> memories;
  std::size_t next = 0;  ///< whose turn it is
};

ProbeTeam::ProbeTeam(const BackendFactory& make_backend, int workers, int threads) : threads_(threads) {
  SS_CHECK(workers >= 1 && threads >= 1, workers, threads);
  for (int w = 0; w < workers; ++w) backends_.push_back(make_backend(w, threads));
  blocks_.resize(backends_.size());
}

ProbeTeam::~ProbeTeam() {
  for (std::size_t w = 0; w < blocks_.size(); ++w) {
    if (blocks_[w].data != nullptr) backends_[w]->release(Space::kDevice, blocks_[w].data, blocks_[w].bytes);
  }
}

std::byte* ProbeTeam::memory_of(std::size_t worker, std::int64_t bytes) {
  Block& block = blocks_[worker];
  if (block.bytes >= bytes) return block.data;
  if (block.data != nullptr) backends_[worker]->release(Space::kDevice, block.data, block.bytes);
  block = {};
  block.data = backends_[worker]->allocate(Space::kDevice, bytes);
  block.bytes = bytes;
  return block.data;
}

// Runs work(w) on a thread per worker, from a common start. Rethrows what one threw.
template <class Work>
void ProbeTeam::run_workers(const Work& work) {
  std::barrier start(static_cast<std::ptrdiff_t>(backends_.size()));
  std::vector<std::exception_ptr> failures(backends_.size());
  const auto run = [&](std::size_t w) {
    start.arrive_and_wait();
    try {
      work(w);
    } catch (...) {
      failures[w] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t w = 1; w < backends_.size(); ++w) threads.emplace_back(run, w);
    run(0);
  }
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
}

// Runs the next `ops` of the probe on every worker and adds the seconds of each, timed on the lane itself, to
// `seconds`.
void ProbeTeam::run_batch(Prepared& prepared, std::int64_t ops, std::vector<double>& seconds) {
  const StepScalars scalars{.applied_steps = 1, .learning_rate = 1e-9};
  std::vector<std::vector<double>> timed(backends_.size());
  run_workers([&](std::size_t w) {
    double begin = 0;  // of the lane's thread, as is timed[w]
    Backend& backend = *backends_[w];
    timed[w].reserve(static_cast<std::size_t>(ops));
    for (std::int64_t n = 0; n < ops; ++n) {
      const std::size_t i = (prepared.next + static_cast<std::size_t>(n)) % prepared.ops.size();
      for (const Op& op : prepared.rewrites[i]) backend.run(op, prepared.memories[w], scalars, Lane::kCompute);
      backend.call(Lane::kCompute, [&begin] { begin = now_s(); });
      backend.run(prepared.ops[i], prepared.memories[w], scalars, Lane::kCompute);
      backend.call(Lane::kCompute, [&begin, &mine = timed[w]] { mine.push_back(now_s() - begin); });
    }
    backend.synchronize();
  });
  prepared.next += static_cast<std::size_t>(ops);
  for (const auto& worker : timed) seconds.insert(seconds.end(), worker.begin(), worker.end());
}

double ProbeTeam::seconds(const MakeOp& make, std::int64_t rotation_bytes) {
  Prepared prepared(*this, make, rotation_bytes);
  std::vector<double> warm_up, seconds;
  run_batch(prepared, 2, warm_up);
  const double once = *std::min_element(warm_up.begin(), warm_up.end());
  const std::int64_t ops = std::clamp<std::int64_t>(std::llround(kBatchSeconds / std::max(once, 1e-9)), 2, kMostOps);
  const double give_up = now_s() + kMostProbeSeconds;
  for (int b = 0; b < kBatches && (b < 2 || now_s() < give_up); ++b) run_batch(prepared, ops, seconds);
  std::sort(seconds.begin(), seconds.end());
  return std::max(seconds[seconds.size() * 2 / 5], 1e-8);
}

double ProbeTeam::lane_seconds() {
  constexpr int kOps = 4000;
  const Prepared prepared(
      *this,
      [](ProbeProgram& p) {
        return Op(Fill{p.floats(16), 0.0});
      },
      0);
  std::vector<double> batches;
  for (int b = 0; b < kBatches; ++b) {
    std::vector<double> elapsed(backends_.size(), 0.0);
    run_workers([&](std::size_t w) {
      const StepScalars scalars;
      const double begin = now_s();
      for (int i = 0; i < kOps; ++i) backends_[w]->run(prepared.ops[0], prepared.memories[w], scalars, Lane::kCompute);
      backends_[w]->synchronize();
      elapsed[w] = now_s() - begin;
    });
    batches.push_back(elapsed.front() / kOps);
  }
  return lower_quartile(batches);
}

double ProbeTeam::wake_seconds() {
  Backend& backend = *backends_.front();
  constexpr int kHops = 400;
  const StepScalars scalars;
  const Prepared prepared(
      *this,
      [](ProbeProgram& p) {
        return Op(Fill{p.floats(16), 0.0});
      },
      0);
  const Lane lanes[] = {Lane::kCompute, Lane::kGather};
  std::vector<double> batches;
  for (int b = 0; b < kBatches; ++b) {
    const double begin = now_s();
    for (int hop = 0; hop < kHops; ++hop) {
      const Lane lane = lanes[hop % 2], next = lanes[(hop + 1) % 2];
      backend.run(prepared.ops.front(), prepared.memories.front(), scalars, lane);
      backend.wait(next, lane, backend.record(lane));
    }
    backend.synchronize();
    batches.push_back((now_s() - begin) / kHops);
  }
  return lower_quartile(batches);
}

double ProbeTeam::round_trip_seconds() {
  const Prepared prepared(
      *this,
      [](ProbeProgram& p) {
        return Op(Fill{p.floats(16), 0.0});
      },
      0);
  std::vector<double> trips;
  for (int i = 0; i < 40; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));  // the lanes fall asleep
    const double begin = now_s();
    backends_.front()->run(prepared.ops.front(), prepared.memories.front(), {}, Lane::kCompute);
    backends_.front()->synchronize();
    trips.push_back(now_s() - begin);
  }
  return lower_quartile(trips);
}

}  // namespace shardscope
