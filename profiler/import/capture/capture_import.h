#pragma once
// The log of one watched process as tracks and slices of its rank. Threads,
// streams and communicators become tracks.
//
//   CaptureImport import(reader, writer, rank);
//   reader.read([&](std::uint32_t thread, const RecordHead& head) {
//   import.take(thread, head); }); import.finish();

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "profiler/capture/capture_log.h"
#include "profiler/import/capture/nccl_events.h"
#include "profiler/import/import_writer.h"

namespace shardscope {

class CaptureImport {
 public:
  /// `main`: of the processes of a rank the one whose tracks need no number in
  /// their names.
  CaptureImport(const capture::CaptureLogReader& reader, ImportWriter& writer, int rank, bool main);
  void take(std::uint32_t thread, const capture::RecordHead& head);
  void finish();  ///< what was still open, and what was lost

 private:
  struct Open {  ///< a range that has begun
    std::uint64_t name, domain, payload_bytes;
    std::int64_t start_ns;
  };
  struct ThreadState {
    int track = -1, calls = -1;
    std::map<std::uint64_t, std::vector<Open>> ranges;  ///< by domain, nested
  };

  void take_range(std::uint32_t thread, const capture::RangeRecord& range);
  void take_schema(const capture::SchemaFieldRecord& field);
  void take_kernel(const capture::KernelRecord& kernel);
  void take_copy(const capture::CopyRecord& copy);
  void take_call(const capture::ApiRecord& call);
  void take_sync(const capture::SyncRecord& sync);
  void take_memory(const capture::MemoryRecord& memory);
  void take_environment(const capture::EnvironmentRecord& environment);
  void take_external(const capture::ExternalRecord& external);
  void take_device(const capture::DeviceRecord& device);
  void take_step(const capture::StepRecord& step);

  void add_range(int track, const Open& open, std::int64_t end_ns);
  void add_step(std::string_view name, std::int64_t start_ns, std::int64_t end_ns);
  void end_optimizer(const std::vector<Open>& stack, std::int64_t end_ns);
  std::uint64_t payload_bytes(const capture::RangeRecord& range);
  ThreadState& thread_state(std::uint32_t thread);
  int stream_track(std::uint32_t device, std::uint32_t stream);
  std::string track_name(const std::string& name) const;
  std::int32_t kernel_op(const capture::KernelRecord& kernel);
  std::string_view readable(std::uint64_t name);  ///< of a kernel, demangled

  const capture::CaptureLogReader& reader_;
  ImportWriter& writer_;
  const int rank_;
  const bool main_;
  Tally tally_;
  NcclEvents nccl_;
  std::unordered_map<std::uint32_t, ThreadState> threads_;
  std::unordered_map<std::uint32_t, std::string> thread_names_;
  std::unordered_map<std::uint64_t, Open> started_;  ///< by range
  std::map<std::pair<std::uint32_t, std::uint32_t>, int> streams_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, std::uint32_t> size_offsets_;  ///< by domain and schema
  std::unordered_map<std::uint64_t, std::string> readable_;
  std::map<std::string, std::int64_t> unnumbered_;        ///< steps so far, by name
  std::unordered_map<std::uint64_t, std::int64_t> live_;  ///< bytes by address
  std::int64_t live_bytes_ = 0, unmatched_ = 0, bad_ = 0, optimizer_steps_ = 0, optimizer_end_ns_ = 0,
               first_step_ns_ = INT64_MAX;
};

}  // namespace shardscope
