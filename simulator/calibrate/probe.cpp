#include "simulator/calibrate/probe.h"

#include <algorithm>
#include <array>
#include <barrier>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>

#include "core/check.h"

namespace shardscope {

namespace {

// Operand sets in turn are together this large: more than a core's own cache, less than the shared one. In training,
// what an op reads was written some megabytes ago.
constexpr std::int64_t kRotateBytes = 6 << 20;
constexpr std::int64_t kMostCopies = 64;
constexpr double kBatchSeconds = 1.5e-3;
constexpr int kBatches = 5;
constexpr std::int64_t kMostRounds = 2000;

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
  token_limits_.push_back(0);
  return program_.whole(program_.add_buffer(buffer));
}

Region ProbeProgram::tokens(std::int64_t count, std::int64_t limit) {
  const Region region = add(DType::kI32, count);
  token_limits_.back() = limit;
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
        reinterpret_cast<std::int32_t*>(at)[i] = static_cast<std::int32_t>(i * 2654435761LL % 65521 % token_limits_[b]);
      }
    }
    if (buffer.dtype != DType::kF32) continue;
    const auto period = static_cast<std::int64_t>(pattern.size());
    for (std::int64_t i = 0; i < buffer.elements; i += period) {
      std::copy_n(pattern.begin(), std::min(period, buffer.elements - i), reinterpret_cast<float*>(at) + i);
    }
  }
}

/// The ops of one probe, and each worker's memory for them.
struct ProbeTeam::Prepared {
  Prepared(std::vector<std::unique_ptr<Backend>>& workers, const MakeOp& make) : backends(workers) {
    do {
      ops.push_back(make(probe));
    } while (probe.size_bytes() < kRotateBytes && static_cast<std::int64_t>(ops.size()) < kMostCopies);
    memories.resize(backends.size());
    for (std::size_t w = 0; w < backends.size(); ++w) {
      memories[w].program = &probe.program();
      std::byte* const base = backends[w]->allocate(Space::kDevice, probe.size_bytes());
      memories[w].bases[static_cast<int>(Space::kDevice)] = base;
      probe.fill_memory(base);
    }
  }
  ~Prepared() {
    for (std::size_t w = 0; w < backends.size(); ++w) {
      backends[w]->release(Space::kDevice, memories[w].bases[static_cast<int>(Space::kDevice)], probe.size_bytes());
    }
  }
  Prepared(const Prepared&) = delete;
  Prepared& operator=(const Prepared&) = delete;

  std::vector<std::unique_ptr<Backend>>& backends;
  ProbeProgram probe;
  std::vector<Op> ops;
  std::vector<Memory> memories;
};

ProbeTeam::ProbeTeam(const BackendFactory& make_backend, int workers, int threads) : threads_(threads) {
  SS_CHECK(workers >= 1 && threads >= 1, workers, threads);
  for (int w = 0; w < workers; ++w) backends_.push_back(make_backend(w, threads));
}

ProbeTeam::~ProbeTeam() = default;

// Every worker runs the same ops at the same time, from a common start. Rethrows what an op threw.
double ProbeTeam::batch_seconds(const Prepared& prepared, std::int64_t rounds) {
  const StepScalars scalars{.applied_steps = 1, .learning_rate = 1e-9};
  std::barrier start(static_cast<std::ptrdiff_t>(backends_.size()));
  std::vector<double> elapsed(backends_.size(), 0.0);
  std::vector<std::exception_ptr> failures(backends_.size());
  const auto work = [&](std::size_t w) {
    start.arrive_and_wait();
    const double begin = now_s();
    for (std::int64_t round = 0; round < rounds; ++round) {
      for (const Op& op : prepared.ops) backends_[w]->run(op, prepared.memories[w], scalars, Lane::kCompute);
    }
    try {
      backends_[w]->synchronize();
    } catch (...) {
      failures[w] = std::current_exception();
    }
    elapsed[w] = now_s() - begin;
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t w = 1; w < backends_.size(); ++w) threads.emplace_back(work, w);
    work(0);
  }
  double sum = 0;
  for (std::size_t w = 0; w < elapsed.size(); ++w) {
    if (failures[w]) std::rethrow_exception(failures[w]);
    sum += elapsed[w];
  }
  return sum / static_cast<double>(elapsed.size());
}

double ProbeTeam::seconds(const MakeOp& make) {
  const Prepared prepared(backends_, make);
  batch_seconds(prepared, 1);  // touches the pages
  const double once = batch_seconds(prepared, 1);
  const auto wanted = static_cast<std::int64_t>(kBatchSeconds / std::max(once, 1e-9));
  const std::int64_t rounds = std::clamp<std::int64_t>(wanted, 1, kMostRounds);
  std::vector<double> batches;
  for (int b = 0; b < kBatches; ++b) batches.push_back(batch_seconds(prepared, rounds));
  return lower_quartile(batches) / static_cast<double>(rounds * static_cast<std::int64_t>(prepared.ops.size()));
}

double ProbeTeam::wake_seconds() {
  Backend& backend = *backends_.front();
  constexpr int kHops = 400;
  const StepScalars scalars;
  const Prepared prepared(backends_, [](ProbeProgram& p) { return Op(Fill{p.floats(16), 0.0}); });
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
  const Prepared prepared(backends_, [](ProbeProgram& p) { return Op(Fill{p.floats(16), 0.0}); });
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
