#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Job make_job(int tp) {
  Job job;
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 11, "n_embd": 8, "n_layer": 3, "n_head": 2,
                              "n_positions": 8, "n_inner": 16})",
                          "tiny");
  job.parallel.tp = tp;
  job.data.seq_len = 4;
  job.training.micro_batch = job.training.accumulation = job.training.train_batch_size = 1;
  job.recompute = Recompute::kFull;
  return job;
}

/// Buffers whose name starts with `prefix`, as "name elements space".
std::vector<std::string> buffers(const Program& program, std::string_view prefix) {
  std::vector<std::string> list;
  for (const Buffer& b : program.buffers) {
    if (std::string_view(b.name).substr(0, prefix.size()) != prefix) continue;
    list.push_back(b.name + " " + std::to_string(b.elements) + " " + std::string(to_string(b.space)));
  }
  return list;
}

TEST(KeptInputs, TensorParallelRanksKeepAPartEach) {
  Job job = make_job(2);
  job.training.checkpointing.partition_activations = true;
  const Program program = lower(job, 1);
  EXPECT_THAT(buffers(program, "part."), ElementsAre("part.h.0.out.mb0 16 device", "part.embedded.mb0 16 device"));
  EXPECT_THAT(buffers(program, "whole."), ElementsAre("whole.h.0.out.mb0 32 device", "whole.embedded.mb0 32 device"));
}

TEST(KeptInputs, PartsGoToTheHostToo) {
  Job job = make_job(2);
  job.training.checkpointing.partition_activations = job.training.checkpointing.cpu_checkpointing = true;
  EXPECT_THAT(buffers(lower(job, 1), "host."),
              ElementsAre("host.part.h.0.out.mb0 16 pinned", "host.part.embedded.mb0 16 pinned"));
}

TEST(KeptInputs, NothingIsPartedWhereRanksKeepDifferentRowsOrThereIsOne) {
  Job job = make_job(1);
  job.training.checkpointing.partition_activations = true;
  EXPECT_THAT(buffers(lower(job, 0), "part."), IsEmpty());
  job.parallel.tp = 2;
  job.parallel.sp = true;
  EXPECT_THAT(buffers(lower(job, 0), "part."), IsEmpty());
}

TEST(KeptInputs, RefusesToMoveWhatNothingKeeps) {
  Job job = make_job(2);
  job.recompute = Recompute::kNone;
  job.training.checkpointing.partition_activations = true;
  try {
    lower(job, 0);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("add recompute"));
  }
}

}  // namespace
}  // namespace shardscope
