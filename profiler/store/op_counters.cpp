#include "profiler/store/op_counters.h"

#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <thread>

#include "profiler/store/open_store.h"

namespace shardscope {
namespace {

struct Kind {
  std::uint32_t type;
  std::uint64_t config;
};

// In the order of OpCounters::kNames.
constexpr std::array<Kind, OpCounters::kNames.size()> kKinds = {{
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
    {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES},
    {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK},
    {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS},
}};

using Values = std::array<std::int64_t, kKinds.size()>;

/// A counter of the calling thread, or -1 and errno.
int open_counter(const Kind& kind) {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = kind.type;
  attributes.config = kind.config;
  attributes.exclude_kernel = 1;  // all that an unprivileged user may count
  attributes.exclude_hv = 1;
  attributes.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
  return static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC));
}

/// The counters of one thread.
class ThreadCounters {
 public:
  ThreadCounters() : thread_(std::this_thread::get_id()) {
    for (std::size_t i = 0; i < kKinds.size(); ++i) files_[i] = open_counter(kKinds[i]);
    last_ = read();
  }
  ~ThreadCounters() {
    for (const int file : files_) {
      if (file >= 0) close(file);
    }
  }
  ThreadCounters(const ThreadCounters&) = delete;
  ThreadCounters& operator=(const ThreadCounters&) = delete;

  bool is_mine() const { return thread_ == std::this_thread::get_id(); }
  Values since_last() {
    const Values now = read();
    Values difference{};
    for (std::size_t i = 0; i < now.size(); ++i) difference[i] = now[i] - last_[i];
    last_ = now;
    return difference;
  }

 private:
  /// Counters that took turns on the processor are scaled up, as perf does.
  Values read() const {
    Values values{};
    for (std::size_t i = 0; i < files_.size(); ++i) {
      std::uint64_t raw[3] = {};  // value, time enabled, time running
      if (files_[i] < 0 || ::read(files_[i], raw, sizeof raw) != sizeof raw) continue;
      const bool scaled = raw[2] > 0 && raw[2] < raw[1];
      const double factor = scaled ? static_cast<double>(raw[1]) / static_cast<double>(raw[2]) : 1;
      values[i] =
          scaled ? static_cast<std::int64_t>(static_cast<double>(raw[0]) * factor) : static_cast<std::int64_t>(raw[0]);
    }
    return values;
  }
  const std::thread::id thread_;
  std::array<int, kKinds.size()> files_{};
  Values last_{};
};

}  // namespace

/// Each lane's counters and sums are touched by the lane's thread only.
class OpCounters::Rank : public RankTrace {
 public:
  Rank(RankTrace& next, int rank, std::size_t ops) : next_(next), rank_(rank), totals_(ops) {}

  void slice(const SliceEvent& event) override {
    std::optional<ThreadCounters>& counters = lanes_[static_cast<std::size_t>(event.lane)];
    const auto op = static_cast<std::size_t>(event.op.index);
    if (!counters || !counters->is_mine()) {
      counters.emplace();  // what came before is not known
    } else if (op < totals_.size()) {
      const Values values = counters->since_last();
      for (std::size_t i = 0; i < values.size(); ++i) totals_[op][i] += values[i];
    }
    next_.slice(event);
  }
  void memory(const MemoryEvent& event) override { next_.memory(event); }
  void step(const StepEvent& event) override { next_.step(event); }
  void finish(const MemoryPeak& peak, std::int64_t rss_bytes) override { next_.finish(peak, rss_bytes); }

  void write(Statement& insert, std::int64_t run) const {
    for (std::size_t op = 0; op < totals_.size(); ++op) {
      for (std::size_t i = 0; i < kNames.size(); ++i) {
        if (totals_[op][i] > 0)
          insert.run(run, rank_, static_cast<std::int64_t>(op), std::string_view(kNames[i]), totals_[op][i]);
      }
    }
  }

 private:
  RankTrace& next_;
  const int rank_;
  std::array<std::optional<ThreadCounters>, kLanes> lanes_;
  std::vector<Values> totals_;
};

OpCounters::OpCounters(TraceSink& sink) : sink_(sink) {}
OpCounters::~OpCounters() = default;

RankTrace* OpCounters::open_rank(int rank, const Program& program) {
  RankTrace* next = sink_.open_rank(rank, program);
  if (next == nullptr) return nullptr;
  const std::lock_guard lock(mutex_);
  ranks_.push_back(std::make_unique<Rank>(*next, rank, program.instructions.size()));
  return ranks_.back().get();
}

void OpCounters::write(const std::string& path, std::int64_t run) const {
  Connection connection = open_for_writing(path);
  {
    Transaction transaction(connection);
    Statement insert(connection, "INSERT INTO op_counter VALUES (?, ?, ?, ?, ?)");
    for (const auto& rank : ranks_) rank->write(insert, run);
    transaction.commit();
  }
  connection.execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA journal_mode = DELETE");
}

std::string OpCounters::missing() const {
  std::string names;
  int why = 0;
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    const int file = open_counter(kKinds[i]);
    if (file >= 0) {
      close(file);
      continue;
    }
    why = errno;
    names += (names.empty() ? "" : ", ") + std::string(kNames[i]);
  }
  if (names.empty()) return "";
  const char* reason = why == ENOENT || why == ENODEV || why == EOPNOTSUPP
                           ? "this processor, or virtual machine, shows none"
                           : std::strerror(why);
  return fmt::format("--counters: no {} here ({})", names, reason);
}

}  // namespace shardscope
