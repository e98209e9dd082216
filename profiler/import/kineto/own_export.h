#pragma once
// Our own traces (`shardscope export --format perfetto`) read back: what only we write there tells which rank, track,
// op and step a slice is of. Several ranks in one file.
//
//   OwnExport events(writer, rank, source.name());
//   events.event(event);
//   events.finish(base_ns);

#include <map>
#include <optional>
#include <string>

#include "profiler/import/import_writer.h"
#include "profiler/import/kineto/kineto_event.h"

namespace shardscope {

class OwnExport {
 public:
  /// `rank` becomes the first rank that the file names.
  OwnExport(ImportWriter& writer, int rank, std::string file)
      : writer_(writer), spare_rank_(rank), file_(std::move(file)) {}
  void event(const KinetoEvent& event);
  void finish(std::optional<std::int64_t> base_ns, std::optional<std::int64_t> world);
  bool has_events() const { return !ranks_.empty(); }

 private:
  struct Rank {
    int handle = 0;
    std::int64_t events = 0;
    std::map<std::string, std::string, std::less<>> track_names;  ///< by thread, as it is written
  };
  Rank* rank_of(const KinetoEvent& event);
  void slice(Rank& rank, const KinetoEvent& event);
  void memory(Rank& rank, const KinetoEvent& event);
  int track(Rank& rank, std::string_view thread, std::string_view lane);
  std::int32_t op(const Rank& rank, const KinetoEvent& event);

  ImportWriter& writer_;
  std::optional<int> spare_rank_;
  const std::string file_;
  std::map<std::int64_t, Rank> ranks_;  ///< by their number
  std::string texts_[5];                ///< room for texts without their escapes
};

}  // namespace shardscope
