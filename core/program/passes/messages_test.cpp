// Messages of every schedule, on more ranks than random jobs have.
#include "core/program/passes/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "core/program/lower.h"
#include "core/program/verify.h"

namespace shardscope {
namespace {

using testing::IsEmpty;

const PipelineSchedule kAll[] = {PipelineSchedule::kGpipe, PipelineSchedule::k1F1B, PipelineSchedule::kInterleaved,
                                 PipelineSchedule::kZbH1,  PipelineSchedule::kZbv,  PipelineSchedule::kDualPipeV};

/// One layer a stage.
Job make_job(PipelineSchedule schedule, int ranks, int micro_batches) {
  Job job;
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 8, "n_embd": 4, "n_layer": 1, "n_head": 1,
                              "n_positions": 4})",
                          "test model");
  job.parallel.pp = ranks;
  job.parallel.schedule = schedule;
  job.parallel.virtual_stages = 2;
  job.model.layers = ranks * chunks_of(schedule, 2);
  job.data.seq_len = 2;
  job.training.micro_batch = 1;
  job.training.accumulation = job.training.train_batch_size = micro_batches;
  return job;
}

/// A multiple of the ranks suits every schedule; V-shaped ones need two each.
void for_each_job(void (*check)(const Job& job)) {
  for (const PipelineSchedule schedule : kAll) {
    for (int p = 2; p <= 8; ++p) {
      for (const int m : {2 * p, 3 * p}) {
        SCOPED_TRACE(testing::Message() << to_string(schedule) << " p=" << p << " m=" << m);
        check(make_job(schedule, p, m));
      }
    }
  }
}

TEST(Messages, NoScheduleHangsOrTakesOneForAnother) {
  for_each_job([](const Job& job) {
    std::vector<Program> ranks;
    for (int r = 0; r < job.parallel.pp; ++r) ranks.push_back(lower(job, r));
    for (const Program& program : ranks) EXPECT_THAT(find_faults(program), IsEmpty());
    EXPECT_THAT(find_mismatches(ranks), IsEmpty());
  });
}

TEST(Messages, ALaneHasOnePeer) {
  for_each_job([](const Job& job) {
    for (int r = 0; r < job.parallel.pp; ++r) {
      std::map<Lane, std::set<std::int64_t>> peers;
      for (const Instruction& in : lower(job, r).instructions) {
        if (const auto* send = std::get_if<Send>(&in.op)) peers[in.lane].insert(send->peer);
        if (const auto* recv = std::get_if<Recv>(&in.op)) peers[in.lane].insert(recv->peer);
      }
      for (const auto& [lane, ranks] : peers) EXPECT_EQ(ranks.size(), 1U) << "rank " << r << ", " << to_string(lane);
    }
  });
}

TEST(Messages, OnlyInAVSomeComeBeforeTheirTurn) {
  for_each_job([](const Job& job) {
    if (job.parallel.pp == 2) return;
    PipelinePlan plan(pipeline_shape(job));
    bool is_early = false;
    for (int r = 0; r < job.parallel.pp; ++r) {
      for (const bool from_previous : {false, true}) {
        const std::vector<std::size_t> order = plan.arrivals(r, from_previous);
        is_early = is_early || !std::is_sorted(order.begin(), order.end());
      }
    }
    EXPECT_EQ(is_early, is_v_shaped(job.parallel.schedule));
  });
}

}  // namespace
}  // namespace shardscope
