#pragma once
// What NCCL's plugin said, put together: collectives of each communicator with
// their sizes, algorithm, and time on the device; and which kernel on the
// device ran which of them.
//
//   NcclEvents nccl(reader, writer, rank);
//   nccl.take(head);            nccl.take_kernel(kernel, name, track);
//   nccl.finish();
//
// A kernel is joined with its collective by order: the n-th launch that NCCL
// reported and the n-th kernel of NCCL's by correlation id, if there are as
// many of both; else kernels are what their names say.

#include <deque>
#include <unordered_map>
#include <vector>

#include "profiler/capture/capture_log.h"
#include "profiler/import/import_writer.h"
#include "profiler/import/tally.h"

namespace shardscope {

class NcclEvents {
 public:
  NcclEvents(const capture::CaptureLogReader& reader, ImportWriter& writer, Tally& tally, int rank);

  void take(const capture::RecordHead& head);
  /// A kernel of NCCL's on a stream's track.
  void take_kernel(const capture::KernelRecord& kernel, std::string_view name, int track);
  void finish();

 private:
  struct Communicator {
    std::string name;
    std::int64_t rank = -1, ranks = 0;
    int track = -1;
  };
  struct Event {
    std::uint64_t parent = 0;
    std::uint32_t type = 0;
  };
  /// A collective or point-to-point message.
  struct Operation {
    std::uint64_t handle = 0, communicator = 0, function = 0, datatype = 0, algorithm = 0, protocol = 0;
    std::int64_t sequence = -1, count = 0, called_ns = 0, enqueued_ns = 0, first_ns = 0, last_ns = 0;
    std::int64_t peer = -1, channels = -1;
    std::uint64_t group = 0;  ///< handle of the outermost event above it
  };
  struct Kernel {
    std::int64_t start_ns, duration_ns;
    std::uint32_t correlation;
    std::int32_t kind_op;  ///< op by its name alone
    int track;
  };

  void start(const capture::NcclStartRecord& record);
  void stop(const capture::NcclStateRecord& record);
  void channel_stopped(const capture::NcclStateRecord& record);
  Operation* find(std::uint64_t handle);
  std::uint64_t outermost(std::uint64_t handle) const;
  void forget_oldest();
  void write(const Operation& operation);
  std::int32_t op_of(const Operation& operation);
  Communicator& communicator(std::uint64_t id);

  const capture::CaptureLogReader& reader_;
  ImportWriter& writer_;
  Tally& tally_;
  const int rank_;
  std::unordered_map<std::uint64_t, Communicator> communicators_;
  std::unordered_map<std::uint64_t, Event> events_;  ///< by handle, of those that may be parents
  std::deque<std::uint64_t> event_order_;
  std::unordered_map<std::uint64_t, Operation> operations_;  ///< by handle
  std::deque<std::uint64_t> operation_order_;
  std::unordered_map<std::uint64_t, std::int32_t> op_of_group_;  ///< by outermost handle: the first operation's op
  std::vector<std::uint64_t> launches_;                          ///< outermost handles, in order
  std::vector<Kernel> kernels_;
};

}  // namespace shardscope
