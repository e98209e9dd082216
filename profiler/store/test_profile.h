#pragma once
// Small hand-made programs and profiles for the tests of the store and its queries.

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "core/temp_folder_for_test.h"
#include "profiler/store/profile_writer.h"
#include "profiler/store/schema.h"
#include "profiler/store/sqlite.h"

namespace shardscope::testing {

// Ops of tiny_program().
inline constexpr OpId kAllocOp{0}, kLoadOp{1}, kMatMulOp{2}, kGatherOp{3}, kReduceOp{4}, kCopyOp{5}, kAdamOp{6};

/// One op of each activity; 1024-element f32 buffers; the group "dp" holds all ranks.
inline Program tiny_program(int rank, int world) {
  Program p;
  p.rank = rank;
  p.world = world;
  Group group{"dp", {}, rank};
  for (int r = 0; r < world; ++r) group.ranks.push_back(r);
  p.groups.push_back(group);
  const std::int64_t n = 1024;
  const Region full = p.whole(p.add_buffer({"full", DType::kF32, n * world, Category::kBucket}));
  const Region a = p.whole(p.add_buffer({"a", DType::kF32, n, Category::kParameter}));
  const Region b = p.whole(p.add_buffer({"b", DType::kF32, n, Category::kActivation}));
  const auto add = [&p](const Op& op, Lane lane, Phase phase, int layer, const char* name) {
    p.instructions.push_back({op, lane, {phase, layer, 0, p.intern(name)}, {}});
  };
  add(Alloc{b.buffer}, Lane::kCompute, Phase::kForward, 0, "h.0");
  add(LoadBatch{a, b, 0, 1, n}, Lane::kCompute, Phase::kLoad, -1, "batch");
  add(MatMul{a, a, {}, b, 32, 32, 32}, Lane::kCompute, Phase::kForward, 0, "h.0.mlp");
  add(AllGather{GroupId{0}, a, full}, Lane::kGather, Phase::kForward, 0, "h.0");
  add(ReduceScatter{GroupId{0}, full, a}, Lane::kReduce, Phase::kBackward, 0, "h.0");
  add(Copy{a, b}, Lane::kH2D, Phase::kOptimizer, -1, "offload");
  add(Adam{a, b, a, b, {}}, Lane::kCompute, Phase::kOptimizer, -1, "adam");
  return p;
}

inline RunInfo tiny_run(const std::string& name, bool predicted = false) {
  RunInfo info;
  info.name = name;
  info.predicted = predicted;
  info.framework = "shardscope";
  info.model = "tiny";
  info.world = 2;
  info.zero_stage = 2;
  info.job_json = "{}";
  info.parameters = 1000;
  info.tokens_per_step = 64;
  info.flops_per_token = 6000;
  info.peak_flops_per_rank = 1e9;
  return info;
}

/// One step of 1000 units: load 100, matmul 300, gather 200 of which 100 hidden, copy 100, adam 200, idle 200; then a
/// reduce-scatter wholly hidden behind adam. `unit` is the length of a unit in ns.
inline void trace_step(RankTrace& trace, int step, std::int64_t unit = 1000) {
  const std::int64_t t0 = step * 1000 * unit;
  const auto slice = [&](OpId op, Lane lane, std::int64_t begin, std::int64_t end, std::int64_t wait = 0) {
    trace.slice({op, step, lane, t0 + begin * unit, (end - begin) * unit, wait * unit});
  };
  trace.memory({kAllocOp, step, t0, Space::kDevice, Category::kParameter, 4096});
  trace.memory({kAllocOp, step, t0, Space::kDevice, Category::kActivation, 8192});
  slice(kLoadOp, Lane::kCompute, 0, 100);
  slice(kMatMulOp, Lane::kCompute, 100, 400);
  slice(kGatherOp, Lane::kGather, 300, 500, 50);
  slice(kCopyOp, Lane::kH2D, 500, 600);
  slice(kAdamOp, Lane::kCompute, 800, 1000);
  slice(kReduceOp, Lane::kReduce, 850, 950);
  trace.memory({kAllocOp, step, t0 + 900 * unit, Space::kDevice, Category::kActivation, 0});
  trace.memory({kAllocOp, step, t0 + 900 * unit, Space::kDevice, Category::kBucket, 6000});
  trace.step({step, t0, 1000 * unit, 5.0 - step, 1.5, 1e-3});
}

/// Records `steps` such steps on two ranks; rank 1 is twice as slow.
inline void record_tiny_run(ProfileWriter& writer, int steps) {
  for (int rank = 0; rank < 2; ++rank) {
    RankTrace* trace = writer.open_rank(rank, tiny_program(rank, 2));
    for (int step = 0; step < steps; ++step) trace_step(*trace, step, 1000 * (rank + 1));
    MemoryPeak peak;
    peak.peak_bytes[0] = 12288;
    peak.at_peak.bytes[0][static_cast<int>(Category::kParameter)] = 4096;
    peak.at_peak.bytes[0][static_cast<int>(Category::kActivation)] = 8192;
    peak.peak_by_category = peak.at_peak;
    peak.peak_by_category.bytes[0][static_cast<int>(Category::kBucket)] = 6000;
    trace->finish(peak, 1 << 20);
  }
}

inline void record_tiny_profile(const std::string& path, const std::string& name, int steps = 4,
                                bool predicted = false) {
  ProfileWriter writer(path, tiny_run(name, predicted));
  record_tiny_run(writer, steps);
  writer.finish();
  ASSERT_EQ(writer.problem(), "");
}

/// The file as an earlier version would have left it: without what came later.
inline void make_older(const std::string& path, int version) {
  Connection file(path, Connection::Mode::kReadWrite);
  for (const SchemaTable& table : schema_tables()) {
    const std::string name(table.name);
    if (table.since > version) {
      file.execute("DROP TABLE " + name + "; DELETE FROM schema_doc WHERE name = '" + name + "'");
    } else if (table.index_since > version) {
      file.execute("DROP INDEX " + index_name(table) + ";" + index_sql(table, version));
    }
  }
  file.execute("PRAGMA user_version = " + std::to_string(version));
}

}  // namespace shardscope::testing
