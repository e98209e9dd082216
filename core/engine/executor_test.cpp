#include "core/engine/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "core/engine/bigram_for_test.h"
#include "core/engine/nvme/nvme_file.h"
#include "core/engine/plain_backend_for_test.h"
#include "core/engine/thread_communicator.h"
#include "core/engine/trainer.h"

namespace shardscope {
namespace {

struct Rows : RankTrace {
  std::mutex mutex;  // slices come from every lane
  std::vector<SliceEvent> slices;
  std::vector<MemoryEvent> memories;
  std::vector<StepEvent> steps;
  MemoryPeak peak;
  int finished = 0;
  void slice(const SliceEvent& event) override {
    const std::lock_guard lock(mutex);
    slices.push_back(event);
  }
  void memory(const MemoryEvent& event) override { memories.push_back(event); }
  void step(const StepEvent& event) override { steps.push_back(event); }
  void finish(const MemoryPeak& p, std::int64_t) override {
    peak = p;
    ++finished;
  }
};

struct Sink : TraceSink {
  std::map<int, Rows> ranks;
  std::mutex mutex;
  RankTrace* open_rank(int rank, const Program&) override {
    const std::lock_guard lock(mutex);
    return &ranks[rank];
  }
};

Region add(Program& program, const std::string& name, std::int64_t elements) {
  auto& end = program.arena_bytes[0];
  const BufferId id = program.add_buffer({.name = name, .elements = elements, .persistent = true, .address = end});
  end += program.buffer(id).bytes();
  return program.whole(id);
}

OpId emit(Program& program, Op op, Lane lane, std::vector<OpId> after = {}) {
  program.instructions.push_back({.op = std::move(op), .lane = lane, .label = {}, .after = std::move(after)});
  return OpId{static_cast<std::int32_t>(program.instructions.size()) - 1};
}

Region add_on_drive(Program& program, const std::string& name, std::int64_t elements) {
  auto& end = program.arena_bytes[static_cast<std::size_t>(Space::kNvme)];
  const BufferId id = program.add_buffer(
      {.name = name, .elements = elements, .space = Space::kNvme, .persistent = true, .address = end});
  end += program.buffer(id).bytes();
  return program.whole(id);
}

TEST(Executor, MovesBytesToTheDriveAndBackOnLanesOfTheirOwn) {
  Program program;
  const Region x = add(program, "x", 3000), y = add(program, "y", 3000);
  const Region a = add_on_drive(program, "a", 3000), b = add_on_drive(program, "b", 3000);
  EXPECT_EQ(program.buffer(b.buffer).address, 12288);  // a takes three blocks
  const OpId filled = emit(program, Fill{x, 7}, Lane::kCompute);
  const OpId first = emit(program, NvmeWrite{x, a}, Lane::kNvmeWrite, {filled});
  const OpId scaled = emit(program, Scale{x, 2}, Lane::kCompute, {first});
  emit(program, NvmeWrite{x, b}, Lane::kNvmeWrite, {scaled});
  emit(program, NvmeRead{a, y}, Lane::kNvmeRead, {first});
  PlainBackend backend;
  NvmeFile file({"/tmp", 0, program.arena_bytes[static_cast<std::size_t>(Space::kNvme)], {}});
  Arena arena(program, backend, {.nvme = &file});
  Executor executor(program, backend, arena, {});
  for (int step = 0; step < 2; ++step) executor.run_step(step, {});
  EXPECT_EQ(arena.memory().as<float>(y)[2999], 7);
  std::vector<float> twice(3000);
  file.read(12288, std::as_writable_bytes(std::span(twice)));
  EXPECT_EQ(twice, std::vector<float>(3000, 14));
  EXPECT_EQ(arena.peak().peak_bytes[static_cast<std::size_t>(Space::kNvme)], 24576);
}

TEST(Executor, LanesWaitForEachOtherOnlyWhereTheProgramSaysSo) {
  Program program;
  const Region x = add(program, "x", 1000), y = add(program, "y", 1000), z = add(program, "z", 1000);
  const OpId one = emit(program, Fill{x, 1}, Lane::kCompute);
  const OpId two = emit(program, Scale{x, 3}, Lane::kCompute);
  const OpId copied = emit(program, Copy{x, y}, Lane::kD2H, {one, two});  // one wait: the later covers the earlier
  emit(program, Copy{y, z}, Lane::kD2H, {two});                           // none: this lane has waited for it
  emit(program, Hold{y}, Lane::kCompute, {copied});
  emit(program, Fill{x, 5}, Lane::kCompute, {copied});  // none: the hold has waited
  PlainBackend backend;
  Arena arena(program, backend);
  Executor executor(program, backend, arena, {});
  for (int step = 0; step < 50; ++step) {
    executor.run_step(step, {});
    EXPECT_EQ(arena.memory().as<float>(x)[999], 5);
    EXPECT_EQ(arena.memory().as<float>(y)[999], 3);
    EXPECT_EQ(arena.memory().as<float>(z)[999], 3);
  }
  EXPECT_EQ(backend.waits, 2 * 50);
}

/// Wants the ops of a lane together, as a device does that launches them at once.
class KeepingBackend : public PlainBackend {
 public:
  struct Kept : OpSequence {
    std::vector<const Op*> ops;
    const Memory* memory = nullptr;
    Lane lane = Lane::kCompute;
    LaunchCounts counts() const override {
      const auto count = static_cast<std::int64_t>(ops.size());
      return {count, count, 1};
    }
  };
  using PlainBackend::run;
  std::unique_ptr<OpSequence> keep(std::span<const Op* const> ops, const Memory& memory, Lane lane) override {
    auto kept = std::make_unique<Kept>();
    kept->ops.assign(ops.begin(), ops.end()), kept->memory = &memory, kept->lane = lane;
    sizes.push_back(ops.size());
    return kept;
  }
  void run(OpSequence& sequence, const StepScalars& scalars) override {
    const auto& kept = static_cast<const Kept&>(sequence);
    for (const Op* op : kept.ops) run(*op, *kept.memory, scalars, kept.lane);
    ++runs;
  }
  std::vector<std::size_t> sizes;
  int runs = 0;
};

/// x = 1, 3, 9, then 5; y is a copy of the 9 and z of y twice doubled.
Program program_of_sequences(Region& x, Region& z) {
  Program program;
  x = add(program, "x", 1000);
  const Region y = add(program, "y", 1000);
  z = add(program, "z", 1000);
  emit(program, Fill{x, 1}, Lane::kCompute);
  emit(program, Scale{x, 3}, Lane::kCompute);
  emit(program, Hold{x}, Lane::kCompute);                           // no work of the lane's
  const OpId tripled = emit(program, Scale{x, 3}, Lane::kCompute);  // waited for: a sequence of three ends
  const OpId copied = emit(program, Copy{x, y}, Lane::kD2H, {tripled});
  emit(program, Fill{z, 0}, Lane::kCompute);
  const OpId before = emit(program, Fill{z, 1}, Lane::kCompute);  // and one of two
  emit(program, Fill{x, 5}, Lane::kCompute, {copied});            // waits: alone, as what follows waits too
  emit(program, Copy{y, z}, Lane::kD2H, {before});
  const OpId doubled = emit(program, Scale{z, 2}, Lane::kD2H);  // of that lane, after the first copy is waited for: two
  emit(program, Scale{z, 2}, Lane::kCompute, {doubled});
  return program;
}

TEST(Executor, GivesTheBackendOpsTogetherThatNothingOfTheirLaneComesBetween) {
  Region x, z;
  const Program program = program_of_sequences(x, z);
  KeepingBackend backend;
  Arena arena(program, backend);
  Executor executor(program, backend, arena, {});
  EXPECT_THAT(backend.sizes, testing::ElementsAre(3, 2, 2));
  EXPECT_EQ(executor.launches().ops, 10);
  EXPECT_EQ(executor.launches().in_graphs, 7);
  EXPECT_EQ(executor.launches().graphs, 3);
  for (int step = 1; step <= 20; ++step) {
    executor.run_step(step, {});
    EXPECT_EQ(backend.runs, 3 * step);
    EXPECT_EQ(arena.memory().as<float>(x)[999], 5);
    EXPECT_EQ(arena.memory().as<float>(z)[999], 36);
  }
  EXPECT_FALSE(executor.find_overflow(21, {}));  // looks between the ops
  EXPECT_EQ(backend.runs, 60);
}

TEST(Executor, GivesEachOpByItselfWhereItIsTraced) {
  Region x, z;
  const Program program = program_of_sequences(x, z);
  KeepingBackend backend;
  Arena arena(program, backend);
  Rows rows;
  Executor executor(program, backend, arena, {.trace = &rows});
  executor.run_step(0, {});
  EXPECT_THAT(backend.sizes, testing::IsEmpty());
  EXPECT_EQ(rows.slices.size(), 10U);
}

TEST(Executor, RefusesAnOpTheBackendDoesNotRunByName) {
  Program program;
  const Region x = add(program, "x", 4);
  emit(program, Fill{x, 0}, Lane::kCompute);
  emit(program, Activation{x, x}, Lane::kCompute);
  program.instructions[1].label.name = program.intern("h.0.mlp");
  PlainBackend backend;
  Arena arena(program, backend);
  try {
    Executor executor(program, backend, arena, {});
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_STREQ(error.what(), "plain backend: does not run op 1 (activation h.0.mlp)");
  }
}

TEST(Executor, EveryCollectiveReachesItsCommunicator) {
  ThreadHub hub(2);
  std::array<std::vector<float>, 2> seen;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < 2; ++rank) {
    threads.emplace_back([&, rank] {
      Program program;
      program.groups.push_back({.name = "dp", .ranks = {0, 1}, .self = rank});
      const GroupId g{0};
      const Region a = add(program, "a", 2), b = add(program, "b", 1), c = add(program, "c", 2);
      const Region d = add(program, "d", 2), e = add(program, "e", 1), f = add(program, "f", 1);
      emit(program, Fill{a.part(0, 1), rank + 1.0}, Lane::kCompute);
      const OpId filled = emit(program, Fill{a.part(1, 1), 10.0 * (rank + 1)}, Lane::kCompute);
      emit(program, AllToAll{g, a, d}, Lane::kContext, {filled});                             // {1, 2} or {10, 20}
      emit(program, RingShift{g, a.part(0, 1), f}, Lane::kContext);                           // 2 or 1
      const OpId exchanged = emit(program, ReduceScatter{g, a, b}, Lane::kReduce, {filled});  // 3 or 30
      const OpId gathered = emit(program, AllGather{g, b, c}, Lane::kGather, {exchanged});    // {3, 30}
      emit(program, AllReduce{g, c.part(0, 1)}, Lane::kReduce, {gathered});                   // 6
      const OpId done = emit(program, Broadcast{g, b, 1}, Lane::kReduce);                     // 30
      if (rank == 0) emit(program, Send{g, b, 1}, Lane::kSendNext, {done});
      if (rank == 1) emit(program, Recv{g, e, 0}, Lane::kRecvPrevious);
      PlainBackend backend;
      Arena arena(program, backend);
      Executor executor(program, backend, arena,
                        {.connect = [&](const Group& group, Lane lane) { return hub.connect(group, lane, rank); }});
      executor.run_step(0, {});
      executor.run_step(1, {});
      for (const Region& r : {b, c, d, e, f}) {
        const auto* data = arena.memory().as<float>(r);
        seen[static_cast<std::size_t>(rank)].insert(seen[static_cast<std::size_t>(rank)].end(), data, data + r.count);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(seen[0], testing::ElementsAre(30, 6, 30, 1, 2, 0, 2));
  EXPECT_THAT(seen[1], testing::ElementsAre(30, 6, 30, 10, 20, 30, 1));
}

TEST(Executor, TraceHoldsASlicePerOpMemoryInProgramOrderAndSteps) {
  const Job job = bigram_job(2, 2, 2);
  const std::vector<Program> programs = bigram_programs(job);
  const auto data = make_random_sequences(11, 8, 3);
  Sink sink;
  const TrainResult result = train(job, [](int, int) { return std::make_unique<PlainBackend>(); },
                                   {.trace = &sink, .data = data.get(), .programs = &programs});
  ASSERT_EQ(sink.ranks.size(), 2U);
  for (const auto& [rank, rows] : sink.ranks) {
    const Program& program = programs[static_cast<std::size_t>(rank)];
    std::map<std::pair<int, int>, int> seen;  // (step, op)
    std::int64_t last_end_of_lane[kLanes] = {};
    for (const SliceEvent& slice : rows.slices) {
      ++seen[{slice.step, slice.op.index}];
      const Instruction& instruction = program.instruction(slice.op);
      EXPECT_EQ(slice.lane, instruction.lane);
      EXPECT_GE(slice.start_ns, last_end_of_lane[static_cast<int>(slice.lane)]);  // a lane is in order
      last_end_of_lane[static_cast<int>(slice.lane)] = slice.start_ns + slice.duration_ns;
      EXPECT_GE(slice.duration_ns, slice.wait_ns);
      EXPECT_TRUE(is_communication(instruction.op) || slice.wait_ns == 0);
    }
    std::size_t memory_ops = 0;
    for (std::size_t i = 0; i < program.instructions.size(); ++i) {
      const Op& op = program.instructions[i].op;
      const bool is_memory = std::holds_alternative<Alloc>(op) || std::holds_alternative<Free>(op);
      memory_ops += is_memory;
      for (int step = 0; step < 12; ++step) EXPECT_EQ(seen.count({step, static_cast<int>(i)}), is_memory ? 0U : 1U);
    }
    ASSERT_EQ(rows.memories.size(), 12 * memory_ops);
    std::int64_t most = 0;
    for (std::size_t i = 1; i < rows.memories.size(); ++i) {
      if (rows.memories[i].step == rows.memories[i - 1].step) {
        EXPECT_LT(rows.memories[i - 1].op, rows.memories[i].op);
      }
      EXPECT_LE(rows.memories[i - 1].time_ns, rows.memories[i].time_ns);
      if (rows.memories[i].category == Category::kGradient) most = std::max(most, rows.memories[i].live_bytes);
    }
    EXPECT_EQ(most, 512);  // 121 floats, rounded up to the alignment
    ASSERT_EQ(rows.steps.size(), 12U);
    EXPECT_EQ(rows.steps[7].loss, result.losses[7]);
    EXPECT_EQ(rows.finished, 1);
    EXPECT_EQ(rows.peak.peak_bytes, result.ranks[static_cast<std::size_t>(rank)].peak.peak_bytes);
  }
}

TEST(Executor, TracingChangesNothingInTheResult) {
  const Job job = bigram_job(2, 2, 2);
  const std::vector<Program> programs = bigram_programs(job);
  const auto data = make_random_sequences(11, 8, 3);
  const BackendFactory plain = [](int, int) { return std::make_unique<PlainBackend>(); };
  Sink sink;
  const TrainResult traced = train(job, plain, {.trace = &sink, .data = data.get(), .programs = &programs});
  const TrainResult silent = train(job, plain, {.data = data.get(), .programs = &programs});
  EXPECT_EQ(traced.losses, silent.losses);
}

}  // namespace
}  // namespace shardscope
