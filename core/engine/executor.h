#pragma once
// Runs one rank's program for real. Issues its instructions in program order from the rank's own thread: memory goes to
// the arena at once, ops to the lanes of the backend, where they run when their turn has come.
//
//   Executor executor(program, backend, arena, {.connect = ..., .batches = &batches, .trace = trace});
//   executor.run_step(step, {.applied_steps = step + 1, .learning_rate = 3e-4});

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/engine/arena.h"
#include "core/engine/backend.h"
#include "core/engine/communicator.h"
#include "core/engine/rank_state.h"
#include "core/engine/sequence_source.h"
#include "core/engine/token_source.h"
#include "core/engine/waiting.h"
#include "core/error.h"
#include "core/program/program.h"
#include "core/trace.h"

namespace shardscope {

struct ExecutorOptions {
  /// This rank's end of a group on a lane; called at construction for each pair the program uses. May be empty if it
  /// uses none.
  std::function<std::unique_ptr<Communicator>(const Group&, Lane)> connect;
  BatchSource* batches = nullptr;       ///< null: the program may hold no LoadBatch
  const TokenSource* tokens = nullptr;  ///< null: the program may hold no LoadTokens
  RankTrace* trace = nullptr;           ///< null: nothing is recorded and nothing is spent on it
  std::int64_t trace_start_ns = 0;      ///< steady_now_ns() at the start of the run: traces count from here
  /// Called on a lane's thread when work on it throws, while the step still waits: to stop peers that wait for us.
  std::function<void(const Error&)> on_failure;
};

class Executor {
 public:
  /// Plans the run: which ops are waited for, which communicator each collective uses. Throws Error{kUnsupported}
  /// naming the first op that the backend does not run.
  Executor(const Program& program, Backend& backend, Arena& arena, ExecutorOptions options);

  /// Runs the whole program once and returns when every lane is idle. Throws what an op threw, with the op named.
  /// After an exception the executor may only be destroyed.
  void run_step(std::int64_t step, const StepScalars& scalars);
  /// How a step is launched, once a few have run.
  LaunchCounts launches() const;
  /// Where it is now. From any thread.
  RankState state() const;

  struct Overflow {
    OpId op;
    BufferId buffer;
  };
  /// Runs a step that has overflowed, and so changed nothing, once more, and looks at all that is written: the first
  /// op, in program order, that leaves a number which is not finite, and where. Nothing if none does here. Reads the
  /// memory from the host.
  std::optional<Overflow> find_overflow(std::int64_t step, const StepScalars& scalars);

 private:
  enum class Kind : std::uint8_t { kAlloc, kFree, kHold, kRun, kLoadBatch, kNvme, kCollective };
  struct Wait {
    Lane other;
    OpId on;
  };
  struct Channel {  // our end of a group on a lane
    const Group* group;
    std::unique_ptr<Communicator> comm;
    std::atomic<std::int64_t> calls{0};  ///< begun so far
  };
  struct Planned {  // one instruction, with everything looked up
    Kind kind = Kind::kRun;
    Lane lane = Lane::kCompute;
    bool record = false;  ///< another lane waits for it
    std::uint32_t first_wait = 0, waits = 0;
    BufferId buffer;                 ///< of Alloc and Free
    Channel* channel = nullptr;      ///< of collectives
    OpSequence* sequence = nullptr;  ///< that it is in
    bool leads = false;              ///< the first of its sequence, when all of it is issued
    OpId next;                       ///< the next op of this lane that has a slice
  };

  void plan();
  void plan_waits(Planned& planned, const Instruction& instruction);
  void plan_memory_times();
  void plan_sequences();
  void keep_sequence(const std::vector<std::int32_t>& ops);
  Channel& channel(GroupId group, Lane lane);
  void issue(std::int32_t index);
  void issue_memory(const Planned& planned, OpId op);
  void run_on_lane(std::int32_t index);
  void enqueue_collective(std::int32_t index);
  void stamp_start(std::int32_t index);
  void stamp_end(std::int32_t index);
  void do_work(std::int32_t index);
  void load_batch(const LoadBatch& op) const;
  void load_tokens(const LoadTokens& op) const;
  [[noreturn]] void fail(std::int32_t index, const std::exception& error);
  void report(const std::exception_ptr& error) const;
  std::int64_t trace_now() const;
  void write_slice(std::int32_t index, std::int64_t end_ns, std::int64_t wait_ns);
  void write_memory_events();
  std::optional<OpId> op_on(Lane lane) const;
  std::string place_text(OpId op) const;
  void watch(std::int32_t index);

  const Program& program_;
  Backend& backend_;
  Arena& arena_;
  const ExecutorOptions options_;
  const std::int64_t vocabulary_;
  StepScalars scalars_;  // read by ops that run later: changes only between steps
  std::int32_t step_ = 0;
  std::vector<Planned> plan_;
  std::vector<std::unique_ptr<OpSequence>> sequences_;
  std::vector<Wait> waits_;
  std::vector<std::int64_t> points_;  // by op: the point recorded after it, in this step
  std::map<std::pair<GroupId, Lane>, Channel> channels_;
  std::vector<std::array<OpId, kLanes>> waited_;  // while planning: by lane, the last op of each other lane waited for
  std::vector<std::int64_t> start_ns_;            // traced runs only, by op
  bool is_watching_ = false;                      // while find_overflow() runs
  std::mutex overflow_mutex_;                     // of the next
  std::optional<Overflow> first_overflow_;        // the lowest op so far
  std::vector<MemoryEvent> memory_events_;        // traced runs only, of this step
  std::atomic<std::int32_t> running_step_{-1};    // -1: none
  std::array<std::atomic<std::int32_t>, kLanes> host_work_;  // by lane: the op that is host work and runs now, or -1
};

/// The op's place, if it is one of the program's own.
std::optional<OpId> place_of(const Program& program, const Op& op);
/// "op 57 (matmul h.3.mlp.c_fc)"
std::string describe_op(const Program& program, OpId op);

}  // namespace shardscope
