#include "simulator/calibrate/measure_drive.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <ctime>
#include <span>
#include <thread>
#include <vector>

#include "core/engine/nvme/nvme_file.h"

namespace shardscope {

namespace {

constexpr int kRepetitions = 5;

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// Processor time of this thread, the system's on its behalf included.
double processor_time() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

class DriveProbe {
 public:
  DriveProbe(const std::string& folder, std::int64_t bytes, Backend& backend)
      : half_(bytes / 2),
        backend_(backend),
        file_({folder, 0, bytes, {}}),
        memory_(backend.allocate(Space::kPinned, bytes)) {
    std::memset(memory_, 1, static_cast<std::size_t>(bytes));
    file_.register_memory(memory_, bytes);
    file_.write(0, {memory_, static_cast<std::size_t>(bytes)});  // blocks are slower the first time
  }
  ~DriveProbe() { backend_.release(Space::kPinned, memory_, 2 * half_); }
  DriveProbe(const DriveProbe&) = delete;
  DriveProbe& operator=(const DriveProbe&) = delete;

  Drive run() {
    std::vector<CurvePoint> reads, writes;
    for (std::int64_t bytes = 16 << 10; bytes <= half_; bytes *= 4) {
      reads.push_back({static_cast<double>(bytes), median([&] { read(bytes); })});
      writes.push_back({static_cast<double>(bytes), median([&] { write(bytes); })});
    }
    const double apart = reads.back().y + writes.back().y;
    const std::int64_t largest = static_cast<std::int64_t>(reads.back().x);
    const double cpu = processor_time(), begin = now();
    read(largest);
    write(largest);
    const double cores = (processor_time() - cpu) / (now() - begin);
    const double together = median([&] {
      std::thread writer([&] { write(largest); });
      read(largest);
      writer.join();
    });
    return {Curve(reads), Curve(writes), std::clamp(apart / together, 1.0, 2.0), std::clamp(cores, 0.01, 1.0)};
  }

 private:
  void read(std::int64_t bytes) { file_.read(0, {memory_, static_cast<std::size_t>(bytes)}); }
  void write(std::int64_t bytes) { file_.write(half_, {memory_ + half_, static_cast<std::size_t>(bytes)}); }

  template <class Work>
  static double median(const Work& work) {
    std::vector<double> seconds;
    for (int i = 0; i < kRepetitions; ++i) {
      const double begin = now();
      work();
      seconds.push_back(now() - begin);
    }
    std::sort(seconds.begin(), seconds.end());
    return seconds[kRepetitions / 2];
  }

  std::int64_t half_;
  Backend& backend_;
  NvmeFile file_;
  std::byte* memory_;
};

}  // namespace

Drive measure_drive(const std::string& folder, std::int64_t file_bytes, Backend& backend) {
  return DriveProbe(folder, file_bytes, backend).run();
}

}  // namespace shardscope
