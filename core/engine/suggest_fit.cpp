#include "core/engine/suggest_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/engine/arena.h"
#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

constexpr std::size_t kMost = 3;

enum class Kind : std::uint8_t { kShard, kRecompute, kMicroBatch, kOptimizer };

struct Change {
  Kind kind;  ///< of one kind only one is made
  std::string text;
  std::function<void(Job&)> apply;
};

void halve_micro_batch(Job& job, std::int64_t to) {
  job.training.accumulation *= job.training.micro_batch / to;
  job.training.micro_batch = to;
}

/// Changes that the job has not made yet, the mildest first.
std::vector<Change> find_changes(const Job& job) {
  std::vector<Change> changes;
  const ZeroSpec& zero = job.training.zero;
  for (int stage = zero.stage + 1; stage <= 3; ++stage) {
    changes.push_back({Kind::kShard, fmt::format("zero_optimization.stage {}", stage), [stage](Job& j) {
                         j.training.zero.stage = stage;
                         if (stage == 3) j.training.zero.overlap_comm = true;
                       }});
  }
  if (job.recompute != Recompute::kFull) {
    changes.push_back({Kind::kRecompute, "recompute full", [](Job& j) { j.recompute = Recompute::kFull; }});
  }
  for (std::int64_t to = job.training.micro_batch / 2; to >= 1 && job.training.micro_batch % to == 0; to /= 2) {
    changes.push_back({Kind::kMicroBatch,
                       fmt::format("micro-batch {} with accumulation {}", to,
                                   job.training.accumulation * job.training.micro_batch / to),
                       [to](Job& j) { halve_micro_batch(j, to); }});
  }
  if (zero.offload_optimizer.device == OffloadDevice::kNone) {
    changes.push_back({Kind::kOptimizer, "offload_optimizer cpu", [](Job& j) {
                         j.training.zero.offload_optimizer.device = OffloadDevice::kCpu;
                         j.training.zero.stage = std::max(j.training.zero.stage, 1);
                       }});
  }
  if (zero.offload_param.device == OffloadDevice::kNone) {
    changes.push_back({Kind::kShard, "stage 3 with offload_param cpu", [](Job& j) {
                         j.training.zero.offload_param.device = OffloadDevice::kCpu;
                         j.training.zero.stage = 3;
                       }});
  }
  if (!job.training.checkpointing.cpu_checkpointing) {
    changes.push_back({Kind::kRecompute, "recompute full with cpu_checkpointing", [](Job& j) {
                         j.training.checkpointing.cpu_checkpointing = true;
                         j.recompute = Recompute::kFull;
                       }});
  }
  return changes;
}

class Search {
 public:
  Search(const Job& job, std::int64_t limit, const PeakOf& peak_of)
      : job_(job), limit_(limit), peak_of_(peak_of), changes_(find_changes(job)) {}

  std::vector<FitSuggestion> run() {
    for (std::size_t i = 0; i < changes_.size(); ++i) attempt({i});
    if (!found_.empty()) return std::move(found_);
    for (std::size_t i = 0; i < changes_.size(); ++i) {
      for (std::size_t j = i + 1; j < changes_.size(); ++j) {
        if (changes_[i].kind != changes_[j].kind) attempt({i, j});
      }
    }
    if (found_.empty()) attempt(strongest_of_each_kind());
    return std::move(found_);
  }

 private:
  std::vector<std::size_t> strongest_of_each_kind() const {
    std::map<Kind, std::size_t> last;
    for (std::size_t i = 0; i < changes_.size(); ++i) last[changes_[i].kind] = i;
    std::vector<std::size_t> chosen;
    for (const auto& [kind, i] : last) chosen.push_back(i);
    return chosen;
  }

  void attempt(const std::vector<std::size_t>& chosen) {
    if (found_.size() == kMost) return;
    Job changed = job_;
    std::vector<std::string> texts;
    for (const std::size_t i : chosen) {
      changes_[i].apply(changed);
      texts.push_back(changes_[i].text);
    }
    try {
      const std::int64_t bytes = peak_of_(changed, limit_);
      const bool is_new =
          std::none_of(found_.begin(), found_.end(), [&](const FitSuggestion& s) { return s.device_bytes == bytes; });
      if (bytes <= limit_ && is_new) found_.push_back({fmt::format("{}", fmt::join(texts, " and ")), bytes});
    } catch (const Error&) {  // not a legal mix, or not built
    }
  }

  const Job& job_;
  std::int64_t limit_;
  const PeakOf& peak_of_;
  std::vector<Change> changes_;
  std::vector<FitSuggestion> found_;
};

}  // namespace

std::int64_t peak_device_bytes(const Job& job, std::int64_t enough) {
  const int per_stage = job.parallel.ranks() / job.parallel.pp;
  std::int64_t most = 0;
  for (int stage = 0; stage < job.parallel.pp && most <= enough; ++stage) {
    const Program program = lower(job, stage * per_stage, {.verify = false});
    most = std::max(most, compute_memory_peak(program).peak_bytes[static_cast<std::size_t>(Space::kDevice)]);
  }
  return most;
}

std::vector<FitSuggestion> suggest_fit(const Job& job, std::int64_t limit_bytes, const PeakOf& peak_of) {
  return Search(job, limit_bytes, peak_of).run();
}

std::string describe(const std::vector<FitSuggestion>& suggestions) {
  if (suggestions.empty()) {
    return "neither a higher stage, recomputation, smaller micro-batches nor offload to the host would make it fit";
  }
  std::vector<std::string> texts;
  for (const FitSuggestion& s : suggestions) {
    texts.push_back(fmt::format("{} ({})", s.change, format_bytes(s.device_bytes)));
  }
  return fmt::format("what would fit: {}", fmt::join(texts, "; or "));
}

}  // namespace shardscope
