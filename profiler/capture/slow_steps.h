#pragma once
// Which steps of a long run are worth their details? Those that take longer than usual.
//
//   SlowSteps slow(20);                        // by 20 % of the median of the 32 before
//   slow.add(start_ns, end_ns);                // a step is over
//   slow.fate(record.time_ns) == Fate::kKeep

#include <cstdint>
#include <deque>
#include <vector>

namespace shardscope::capture {

enum class Fate : std::uint8_t { kDrop, kKeep, kWait };

class SlowSteps {
 public:
  explicit SlowSteps(double percent) : factor_(1 + percent / 100) {}

  /// Steps come in order. The first kUsual are kept none of, as nothing is known yet of what is usual.
  void add(std::int64_t start_ns, std::int64_t end_ns);
  /// Of what happened at a time; kWait: its step is not over. What is between steps goes with the one after.
  Fate fate(std::int64_t time_ns) const;
  std::int64_t kept() const { return kept_; }
  std::int64_t steps() const { return steps_; }

 private:
  static constexpr std::size_t kUsual = 8, kLooksBack = 32;
  struct Span {
    std::int64_t start_ns, end_ns;
  };
  const double factor_;
  std::deque<std::int64_t> durations_;
  std::vector<Span> slow_;  ///< kept, in order
  std::int64_t decided_ns_ = INT64_MIN, steps_ = 0, kept_ = 0;
};

}  // namespace shardscope::capture
