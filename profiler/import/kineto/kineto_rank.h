#pragma once
// One rank's events, one after the other, into the writer.
//
//   KinetoRank rank(writer, handle);
//   rank.event(event);
//   rank.finish();

#include <string>
#include <unordered_map>

#include "profiler/import/import_writer.h"
#include "profiler/import/kineto/kineto_event.h"
#include "profiler/import/tally.h"

namespace shardscope {

class KinetoRank {
 public:
  KinetoRank(ImportWriter& writer, int rank) : writer_(writer), rank_(rank) {}
  void event(const KinetoEvent& event);
  void finish();
  bool has_events() const { return events_ > 0; }

 private:
  enum class Kind : std::uint8_t;
  static Kind kind_of(std::string_view category);
  struct Times {
    std::int64_t start_ns, duration_ns;
  };
  void complete(const KinetoEvent& event);
  void kernel(const KinetoEvent& event, Times times);
  void collective(const KinetoEvent& event, Times times, int track, std::string_view name);
  void copy(const KinetoEvent& event, Times times, bool memset);
  void host(const KinetoEvent& event, Times times, Kind kind);
  void annotation(const KinetoEvent& event, Times times, bool on_device);
  void memory(const KinetoEvent& event);
  bool add(int track, const ForeignOp& op, const KinetoEvent& event, Times times);
  int track(const KinetoEvent& event, Kind kind);
  std::int64_t stream_of(const KinetoEvent& event) const;
  std::string_view name_of(const KinetoEvent& event) { return unescaped(event.name, name_); }

  ImportWriter& writer_;
  const int rank_;
  Tally tally_;
  std::int64_t events_ = 0, instants_ = 0, flows_ = 0, counters_ = 0, other_phases_ = 0;
  std::unordered_map<std::string, int> tracks_;  ///< by kind, pid and tid as they are written
  std::string key_, name_, text_;
  // memory of devices, and of the host, as the last event said
  std::unordered_map<std::string, std::int64_t> allocated_, reserved_;
  std::int64_t device_bytes_ = 0, reserved_bytes_ = 0, host_bytes_ = 0, peak_bytes_ = 0;
};

}  // namespace shardscope
