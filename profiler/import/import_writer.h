#pragma once
// Where importers put what they read: a run in the same tables as our own, so that every query and view works on it.
// Each rank has a program, the list of the distinct ops met in it; tracks, its streams and threads; and slices.
//
//   ImportWriter writer("run.db", "llama-7b");
//   int rank = writer.add_rank({.file = "trace.json", .format = "kineto"});
//   int track = writer.track(rank, "gpu0 stream 7", TrackKind::kDevice);
//   ForeignOp op{.kind = "kernel", .name = "ampere_sgemm_128x64_tn", .lane = "compute"};
//   writer.slice(rank, track, {writer.op(rank, op), start_ns, dur_ns});
//   writer.finish(ImportStatus::kComplete);
//
// Times are the file's own, in integer ns; finish() makes them those of the run. Slices come in any order. Memory stays
// some 100 MB whatever comes: slices wait in a file (SliceSpool), of texts and ops there is a limit, and what goes
// beyond it is counted.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/program/types.h"
#include "profiler/store/levels.h"

namespace shardscope {

struct ForeignLaunch {
  std::int64_t grid[3] = {0, 0, 0}, block[3] = {0, 0, 0};
  std::int64_t registers = -1, shared_bytes = -1;  ///< -1: unknown, as in what follows
};

/// Of a communication op.
struct ForeignCollective {
  std::string_view group;  ///< name of the group of ranks
  std::int64_t ranks = 0;  ///< size of the group
  std::int64_t bytes = 0;  ///< as nccl-tests counts them; 0: unknown
  std::string_view dtype, description, group_ranks, split_in, split_out, algorithm, protocol;  ///< empty: unknown
  std::int64_t elements_in = -1, elements_out = -1, peer = -1, channels = -1;
};

/// What an op is. Ops that are equal in all of it are one.
struct ForeignOp {
  std::string_view kind;  ///< our name where we have one (all_reduce, copy), else kernel, memset, cpu_op, runtime, ...
  std::string_view name;  ///< the kernel's, function's, range's
  std::string_view lane = kOtherLane;  ///< kind of lane: that of an op of ours (compute, gather, h2d, ...), or host_api
  std::string_view phase;              ///< load, forward, ...; empty: unknown
  double flops = 0;                    ///< of one execution; 0: unknown
  std::int64_t bytes = 0;              ///< that one execution moves; 0: unknown
  const ForeignLaunch* launch = nullptr;
  const ForeignCollective* collective = nullptr;  ///< of communication
};

enum class TrackKind : std::uint8_t {
  kDevice,  ///< a stream: its slices get their step from the launch, and divide the steps
  kHost,    ///< a thread: its slices get their step by time
  kOther    ///< annotations, overhead, ...: the same
};

struct ForeignSlice {
  std::int32_t op = 0;
  std::int64_t start_ns = 0, duration_ns = 0;
  std::int64_t correlation = 0;  ///< equal for a launch and what it launched; 0: none
  std::int64_t wait_ns = 0;
  std::optional<std::int32_t> step = {};  ///< if the file says so; else as TrackKind has it
};

/// A file, or the part of one that is a rank.
struct SourceFacts {
  std::string file, format, tool, version;  ///< file without folders
  std::optional<std::int64_t> rank, world;  ///< if the file says so
  std::optional<std::int64_t> base_ns;      ///< wall clock (since 1970) of the file's time 0
  bool dump = false;                        ///< what a rank was in when it was stopped, not what it did
  /// Time of the file at which its run begins, if that is not with its first event.
  std::optional<std::int64_t> origin_ns = {};
};

struct ForeignCall {
  std::int32_t op = 0;
  std::optional<std::int64_t> sequence, communicator, created_ns, start_ns, end_ns;
  std::string_view state = "completed";
  int track = -1;
};

struct ForeignDevice {
  std::int64_t device = 0;
  std::string name, capability;
  std::optional<std::int64_t> memory_bytes, processors;
};

/// State of a device at a moment, by the names that the table device_sample has.
struct ForeignSample {
  std::int64_t device = 0, time_ns = 0;
  std::string_view name;
  std::int64_t value = 0;
};

enum class ImportStatus : std::uint8_t { kComplete, kCancelled };

class ImportWriter {
 public:
  /// Opens or creates the profile. Throws Error as open_for_writing() does. `name` is that of the run.
  ImportWriter(const std::string& path, const std::string& name);
  ~ImportWriter();
  ImportWriter(const ImportWriter&) = delete;
  ImportWriter& operator=(const ImportWriter&) = delete;

  // Whoever imports several files as one run calls finish() once. What is given for a rank below is a handle: its
  // number comes from `facts`, or, if those say nothing or two say the same, from the order.
  int add_rank(const SourceFacts& facts);
  SourceFacts& facts(int rank);  ///< to be changed until finish(): files may say late which rank they are

  std::int32_t op(int rank, const ForeignOp& op);
  int track(int rank, std::string_view name, TrackKind kind);  ///< the same for the same name
  /// False, and counted, if the times cannot be (a negative duration, centuries).
  bool slice(int rank, int track, const ForeignSlice& slice);
  /// Bytes live in one category after a change.
  void memory(int rank, std::int64_t time_ns, Space space, Category category, std::int64_t live_bytes);
  /// A training step as the host saw it. `priority`: of two kinds of annotations that look like steps the higher one is
  /// believed. on_device: the same step as a device worked on it.
  void step(int rank, std::int64_t number, std::int64_t start_ns, std::int64_t duration_ns, int priority,
            bool on_device = false);
  void call(int rank, const ForeignCall& call);  ///< into collective_call
  void device(int rank, const ForeignDevice& device);
  void sample(int rank, const ForeignSample& sample);
  /// What the program itself called a launch; `kind` as the table external_id has it.
  void external_id(int rank, std::int64_t correlation, std::string_view kind, std::int64_t id);
  void loss(int rank, std::string_view what, std::optional<std::int64_t> count, std::string_view why);
  /// Adds to a count of report --json ("kernels").
  void count(int rank, std::string_view name, std::int64_t value = 1);
  void set_count(int rank, std::string_view name, std::int64_t value);
  /// `kind` is a word (truncated, bad_event); the text of its first time is kept, and how often it came. -1: all ranks.
  void diagnostic(int rank, std::string_view kind, std::string_view text, std::int64_t count = 1);

  std::optional<std::int64_t> first_ns(int rank) const;  ///< earliest slice or sample so far, in the file's time
  std::int64_t events() const;                           ///< slices, memory samples and calls of all ranks so far

  /// Writes everything into the profile, in order. Throws Error{kIo}; then the profile holds no part of the run.
  void finish(ImportStatus status);
  std::int64_t run() const;  ///< its id, after finish()

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace shardscope
