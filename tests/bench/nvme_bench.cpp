// Speed of the NVMe lane against fio on the same drive, and of an optimizer step whose state lives there, with and
// without pipelining. Ours and the other take turns; medians. Nothing passes or fails by time.
//
//   nvme_bench [FOLDER]      (default: the current folder; it should lie on the drive in question)
//
// fio (package fio) runs as a process of its own with the same block size, depth and kind of file. Our numbers hold a
// checksum of every block.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/engine/executor.h"
#include "core/engine/nvme/nvme_file.h"
#include "core/engine/trainer.h"
#include "core/program/lower.h"
#include "kernels/cpu/cpu_backend.h"

namespace shardscope {
namespace {

constexpr std::int64_t kFileBytes = std::int64_t{512} << 20;
constexpr int kRepetitions = 7;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// ---------------------------------------------------------------- the lane

struct Setting {
  std::int64_t block, depth;
};

/// MB/s, or 0 if fio is not there. Terse output: field 7 is the read bandwidth in KiB/s, field 48 that of writes.
double fio_rate(const std::string& folder, const Setting& s, bool writes) {
  char command[512];
  std::snprintf(command, sizeof command,
                "fio --name=lane --filename='%s/shardscope-fio.tmp' --size=%lld --bs=%lld --iodepth=%lld "
                "--ioengine=io_uring --fixedbufs=1 --direct=1 --overwrite=1 --rw=%s --output-format=terse 2>/dev/null",
                folder.c_str(), static_cast<long long>(kFileBytes), static_cast<long long>(s.block),
                static_cast<long long>(s.depth), writes ? "write" : "read");
  FILE* const out = ::popen(command, "r");
  if (out == nullptr) return 0;
  std::string line;
  for (int c = std::fgetc(out); c != EOF; c = std::fgetc(out)) line += static_cast<char>(c);
  ::pclose(out);
  std::size_t at = 0;
  for (int field = 1; field < (writes ? 48 : 7) && at != std::string::npos; ++field) at = line.find(';', at) + 1;
  return at == 0 || at >= line.size() ? 0 : std::atof(line.c_str() + at) * 1024 / 1e6;
}

double our_rate(NvmeFile& file, std::span<std::byte> memory, bool writes) {
  const std::int64_t start = steady_now_ns();
  writes ? file.write(0, memory) : file.read(0, memory);
  return static_cast<double>(memory.size()) * 1e3 / static_cast<double>(steady_now_ns() - start);
}

/// What a pipelined step can hope for: one half is read while the other is written, in pieces as large as its own.
void bench_both_ways(const std::string& folder, std::byte* memory) {
  NvmeFile file({folder, 0, kFileBytes, {}});
  file.register_memory(memory, kFileBytes);
  file.write(0, {memory, kFileBytes});
  constexpr std::int64_t kHalf = kFileBytes / 2, kPiece = 10 << 20;
  std::vector<double> rates;
  for (int i = 0; i < kRepetitions; ++i) {
    const std::int64_t start = steady_now_ns();
    std::thread writer([&] {
      for (std::int64_t at = kHalf; at + kPiece <= kFileBytes; at += kPiece) file.write(at, {memory + at, kPiece});
    });
    for (std::int64_t at = 0; at + kPiece <= kHalf; at += kPiece) file.read(at, {memory + at, kPiece});
    writer.join();
    rates.push_back(static_cast<double>(kHalf / kPiece * kPiece * 2) * 1e3 /
                    static_cast<double>(steady_now_ns() - start));
  }
  std::printf("read and write at once, 10 MB each: %.0f MB/s together\n", median(rates));
}

void bench_lane(const std::string& folder) {
  const auto backend = make_cpu_backend(1);
  std::byte* const memory =
      backend->allocate(Space::kPinned, kFileBytes);  // as a run has it: in huge pages if there are
  std::memset(memory, 7, kFileBytes);
  std::printf("%-6s %10s %6s  %12s  %12s  %6s\n", "", "block", "depth", "ours MB/s", "fio MB/s", "ratio");
  for (const Setting s : {Setting{1 << 20, 8}, {1 << 20, 32}, {256 << 10, 32}}) {
    NvmeFileOptions options{folder, 0, kFileBytes, {}};
    options.aio.block_size = s.block;
    options.aio.queue_depth = s.depth;
    NvmeFile file(options);
    file.register_memory(memory, kFileBytes);
    if (s.block == 1 << 20 && s.depth == 8) std::printf("%s\n", file.describe().c_str());
    our_rate(file, {memory, kFileBytes}, true);  // blocks that were never written are slower
    fio_rate(folder, s, true);
    for (const bool writes : {true, false}) {
      std::vector<double> ours, theirs;
      for (int i = 0; i < kRepetitions; ++i) {
        ours.push_back(our_rate(file, {memory, kFileBytes}, writes));
        theirs.push_back(fio_rate(folder, s, writes));
      }
      std::printf("%-6s %10lld %6lld  %12.0f  %12.0f  %6.2f\n", writes ? "write" : "read",
                  static_cast<long long>(s.block), static_cast<long long>(s.depth), median(ours), median(theirs),
                  median(theirs) > 0 ? median(ours) / median(theirs) : 0);
    }
  }
  bench_both_ways(folder, memory);
  backend->release(Space::kPinned, memory, kFileBytes);
  ::unlink((folder + "/shardscope-fio.tmp").c_str());
}

// ---------------------------------------------------------------- the step

/// Of each step: from the end of backward to the end of the step, and how long the lanes of the optimizer were busy.
struct StepTimes {
  std::int64_t backward_end_ns = 0, end_ns = 0;
  std::map<Lane, std::int64_t> busy_ns;
};

class Times : public TraceSink, public RankTrace {
 public:
  RankTrace* open_rank(int /*rank*/, const Program& program) override {
    program_ = &program;
    return this;
  }
  void slice(const SliceEvent& event) override {
    const std::lock_guard lock(mutex_);
    StepTimes& step = steps_[event.step];
    const std::int64_t end = event.start_ns + event.duration_ns;
    step.end_ns = std::max(step.end_ns, end);
    const bool updates = program_->instruction(event.op).label.phase == Phase::kOptimizer;
    if (updates) step.busy_ns[event.lane] += event.duration_ns;
    if (!updates && event.lane == Lane::kCompute) step.backward_end_ns = std::max(step.backward_end_ns, end);
  }
  void memory(const MemoryEvent& /*event*/) override {}
  void step(const StepEvent& /*event*/) override {}
  void finish(const MemoryPeak& /*peak*/, std::int64_t /*rss_bytes*/) override {}

  /// In ms; the first step is left out.
  double exposed() const {
    return median_of([](const StepTimes& s) { return s.end_ns - s.backward_end_ns; });
  }
  double busy(Lane lane) const {
    return median_of([&](const StepTimes& s) { return s.busy_ns.contains(lane) ? s.busy_ns.at(lane) : 0; });
  }

 private:
  double median_of(const std::function<std::int64_t(const StepTimes&)>& value) const {
    std::vector<double> values;
    for (const auto& [step, times] : steps_) {
      if (step > 0) values.push_back(static_cast<double>(value(times)) * 1e-6);
    }
    return median(values);
  }

  const Program* program_ = nullptr;
  std::mutex mutex_;
  std::map<int, StepTimes> steps_;
};

struct Shape {
  const char* name;
  std::int64_t seq, sub_group;
};

/// 25 million parameters.
Job step_job(const Shape& shape, const std::string& folder, bool pipelined) {
  Job job;
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 8192, "n_embd": 512, "n_layer": 6, "n_head": 8,
                              "n_positions": 4096})",
                          "bench model");
  job.data.seq_len = shape.seq;
  job.steps = 11;
  TrainingSpec& t = job.training;
  t.train_batch_size = t.micro_batch = t.accumulation = 1;
  t.zero.stage = 3;
  t.zero.overlap_comm = true;
  t.zero.sub_group_size = shape.sub_group;
  OffloadSpec& offload = t.zero.offload_optimizer;
  offload.device = folder.empty() ? OffloadDevice::kCpu : OffloadDevice::kNvme;
  offload.nvme_path = folder;
  offload.pipeline_read = offload.pipeline_write = pipelined;
  return job;
}

void bench_step(const Shape& shape, const std::string& folder) {
  std::printf("\noptimizer step, 25 M parameters, %s; ms\n", shape.name);
  std::printf("%-12s %10s %8s %8s %8s %8s\n", "", "exposed", "read", "adam", "write", "sum");
  const auto data = make_random_sequences(8192, shape.seq, 1);
  std::map<std::string, std::vector<double>> exposed;
  for (int round = 0; round < 3; ++round) {
    for (const auto& [name, where, pipelined] :
         {std::tuple{"in memory", std::string(), false}, {"one by one", folder, false}, {"pipelined", folder, true}}) {
      Times times;
      train(step_job(shape, where, pipelined), [](int, int threads) { return make_cpu_backend(threads); },
            {.trace = &times, .data = data.get()});
      const double read = times.busy(Lane::kNvmeRead), adam = times.busy(Lane::kHost);
      const double write = times.busy(Lane::kNvmeWrite);
      std::printf("%-12s %10.1f %8.1f %8.1f %8.1f %8.1f\n", name, times.exposed(), read, adam, write,
                  read + adam + write);
      exposed[name].push_back(times.exposed());
    }
  }
  std::printf("pipelined %.2f times as fast as one by one (medians)\n",
              median(exposed["one by one"]) / median(exposed["pipelined"]));
}

}  // namespace
}  // namespace shardscope

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : ".";
  shardscope::bench_lane(folder);
  shardscope::bench_step({"10 sub-groups, nothing before it to hide behind", 8, 2'500'000}, folder);
  shardscope::bench_step({"3 sub-groups beside a backward of 256 tokens", 256, 8'500'000}, folder);
}
