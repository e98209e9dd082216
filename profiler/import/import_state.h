#pragma once
// What an import gathers before it is written: ImportWriter fills it, settle() turns it into rows. Internal to both.

#include <array>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "profiler/import/import_writer.h"
#include "profiler/import/slice_spool.h"
#include "profiler/store/run_store.h"

namespace shardscope {

/// Texts, each once. Of hostile files with millions of them the first ones are kept.
class TextPool {
 public:
  static constexpr std::size_t kMostBytes = 24 << 20, kLongest = 4096;
  /// Control characters and what is not UTF-8 become '?'; long texts are cut.
  std::int32_t id(std::string_view text);
  const std::string& text(std::int32_t id) const { return texts_[static_cast<std::size_t>(id)]; }
  bool is_full() const { return bytes_ >= kMostBytes; }

 private:
  std::deque<std::string> texts_{""};
  std::unordered_map<std::string_view, std::int32_t> ids_{{"", 0}};
  std::size_t bytes_ = 0;
};

inline constexpr std::int32_t kStepNotSaid = INT32_MIN;  ///< of slices whose step is found by StepFinder

struct StoredCollective {
  std::int32_t group, dtype, description, group_ranks, split_in, split_out, algorithm, protocol;
  std::int64_t ranks, bytes, elements_in, elements_out, peer, channels;
};

struct StoredOp {
  std::int32_t kind, name, lane, phase;
  std::int32_t launch = -1, collective = -1;  ///< into the rank's lists
  double flops;
  std::int64_t bytes;
};

struct StoredStep {
  std::int64_t number, start_ns, duration_ns;
  int priority;
};

struct StoredCall {
  std::int32_t op, state;
  int track;
  std::optional<std::int64_t> sequence, communicator, created_ns, start_ns, end_ns;
};

struct StoredTrack {
  std::string name;
  TrackKind kind;
  std::size_t spool;  ///< track of the spool
};

struct TextCount {
  std::string text;
  std::int64_t count = 0;
};

struct StoredLoss {
  std::string what, why;
  std::optional<std::int64_t> count;
};

struct StoredSample {
  std::int64_t device, time_ns, value;
  std::int32_t name;
};

struct StoredExternalId {
  std::int64_t correlation, id;
  std::int32_t kind;
};

struct ImportedRank {
  SourceFacts facts;
  std::vector<StoredOp> ops;
  std::vector<ForeignLaunch> launches;
  std::vector<StoredCollective> collectives;
  std::unordered_map<std::uint64_t, std::int32_t> op_ids;  ///< by a hash of all that an op is
  std::vector<StoredTrack> tracks;
  std::unordered_map<std::string, int> track_ids;
  std::optional<std::size_t> memory;  ///< track of the spool with memory samples
  std::int64_t memory_samples = 0;
  std::int32_t memory_op = 0;  ///< what all samples are put down to
  std::vector<StoredStep> steps, device_steps;
  std::vector<StoredCall> calls;
  std::vector<ForeignDevice> devices;
  std::vector<StoredSample> samples;
  std::vector<StoredExternalId> external_ids;
  std::int64_t further_samples = 0, further_ids = 0;  ///< beyond what is kept
  std::vector<StoredLoss> losses;
  std::map<std::string, std::int64_t, std::less<>> counts;
  std::map<std::string, TextCount, std::less<>> diagnostics;
  std::optional<std::int64_t> first_ns, last_ns;  ///< of the slices and samples, in the file's time
};

struct ImportState {
  explicit ImportState(const std::string& path) : spool(path) {}
  TextPool texts;
  SliceSpool spool;
  std::vector<ImportedRank> ranks;
  std::map<std::string, TextCount, std::less<>> diagnostics;  ///< of all ranks
  std::size_t ops = 0;
};

/// Writes it all as a run of `connection`, which is given away. Returns the run's id.
std::int64_t settle(ImportState& state, Connection connection, const std::string& name, ImportStatus status);

}  // namespace shardscope
