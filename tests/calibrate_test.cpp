// calibrate on the real backend, a few shapes only: what it writes is complete, and predicts.
#include "simulator/calibrate/calibrate.h"

#include <gtest/gtest.h>

#include <set>

#include "core/program/lower.h"
#include "kernels/cpu/cpu_backend.h"
#include "simulator/simulate.h"

namespace shardscope {
namespace {

TEST(Calibrate, MeasuresAllThatAPredictionReads) {
  int lines = 0;
  const Machine machine =
      calibrate([](int, int threads) { return make_cpu_backend(threads); },
                {.cores = 2, .nvme_folder = "/tmp", .detail = 0.01, .progress = [&](const std::string&) { ++lines; }});
  EXPECT_GT(lines, 5);
  EXPECT_TRUE(machine.calibrated);
  EXPECT_EQ(machine.cores, 2);
  EXPECT_NE(machine.source.find("calibrate"), std::string::npos);
  EXPECT_GT(machine.core_peak.value, 1e8);
  EXPECT_GT(machine.memory_bandwidth.value, 1e8);
  std::set<std::pair<int, bool>> attention;
  for (const AttentionPoint& p : machine.attentions) attention.insert({p.threads, p.backward});
  EXPECT_EQ(attention.size(), 4U);  // one and two threads, forward and backward
  std::set<std::string> collectives;
  for (const CollectiveCurve& c : machine.collectives) collectives.insert(c.op);
  for (const char* op : {"all_reduce", "reduce_scatter", "all_gather", "all_to_all", "ring_shift"}) {
    EXPECT_TRUE(collectives.contains(op)) << op;
  }
  EXPECT_EQ(machine.drive.read.points().size(), 5U);  // 16 KiB to 4 MiB: measured, the guess has more
  EXPECT_EQ(machine.drive.write.points().size(), 5U);
  EXPECT_GE(machine.drive.together, 1);
  // A machine file is what the next command reads: its own reader must take it, unchanged.
  EXPECT_EQ(to_json(parse_machine(to_json(machine), "machine.json")), to_json(machine));

  const std::string job =
      R"({"model":{"model_type":"llama","vocab_size":64,"hidden_size":32,"intermediate_size":48,"num_hidden_layers":2,)"
      R"("num_attention_heads":2,"max_position_embeddings":32},"deepspeed":{"train_micro_batch_size_per_gpu":1,)"
      R"("zero_optimization":{"stage":3}},"parallel":{"dp":2},"data":{"seq_len":16}})";
  std::vector<Program> programs;
  for (int r = 0; r < 2; ++r) programs.push_back(lower(parse_job(job, "job.json", {}), r));
  const Prediction p = simulate(programs, machine);
  EXPECT_TRUE(p.calibrated);
  EXPECT_GT(p.step_time_s, 0);
  EXPECT_LT(p.step_time_s, 10);
}

}  // namespace
}  // namespace shardscope
