#include "core/program/passes/tensor_parallel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/lower.h"
#include "core/program/text.h"

namespace shardscope {
namespace {

using testing::HasSubstr;

Job make_job(int tp, bool sp) {
  Job job;
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 11, "n_embd": 8, "n_layer": 1, "n_head": 2,
                              "n_positions": 8, "n_inner": 16})",
                          "tiny");
  job.parallel.tp = tp;
  job.parallel.sp = sp;
  job.data.seq_len = 4;
  job.training.micro_batch = job.training.accumulation = job.training.train_batch_size = 1;
  return job;
}

/// The collectives of the tensor-parallel lane, in order, as "kind label".
std::vector<std::string> tensor_collectives(const Program& program, Phase phase) {
  std::vector<std::string> list;
  for (const Instruction& in : program.instructions) {
    if (in.lane != Lane::kTensor || in.label.phase != phase || !is_communication(in.op)) continue;
    list.push_back(std::string(op_name(in.op)) + " " + std::string(program.name(in.label.name)));
  }
  return list;
}

TEST(TensorParallel, TwoSumsForwardAndTwoBackwardPerBlock) {
  const Program program = lower(make_job(2, false), 1);
  EXPECT_THAT(tensor_collectives(program, Phase::kForward),
              testing::ElementsAre("all_reduce embedded.sum", "all_reduce h.0.attn_out.sum",
                                   "all_reduce h.0.mlp_out.sum", "all_reduce loss", "all_reduce loss"));
  EXPECT_THAT(
      tensor_collectives(program, Phase::kBackward),
      testing::ElementsAre("all_reduce d_final_norm.sum", "all_reduce h.0.d_ln_2.sum", "all_reduce h.0.d_ln_1.sum"));
}

TEST(TensorParallel, WithSequenceParallelismASumIsScatteredAndRowsAreGathered) {
  const Program program = lower(make_job(2, true), 0);
  EXPECT_THAT(
      tensor_collectives(program, Phase::kForward),
      testing::ElementsAre("reduce_scatter embedded.sum", "all_gather h.0.ln_1.all", "reduce_scatter h.0.attn_out.sum",
                           "all_gather h.0.ln_2.all", "reduce_scatter h.0.mlp_out.sum", "all_gather final_norm.all",
                           "all_reduce loss", "all_reduce loss"));
}

TEST(TensorParallel, TheBiasAfterASumCountsOnce) {
  int with_bias[2] = {0, 0};
  for (int rank : {0, 1}) {
    const Program program = lower(make_job(2, false), rank);
    for (const Instruction& in : program.instructions) {
      const auto* matmul = std::get_if<MatMul>(&in.op);
      with_bias[rank] += matmul != nullptr && !matmul->bias.empty() ? 1 : 0;
    }
  }
  EXPECT_EQ(with_bias[0], 4);  // attention in and out, MLP in and out
  EXPECT_EQ(with_bias[1], 2);  // of them those whose output is split
}

TEST(TensorParallel, AnUnevenVocabularyIsPadded) {
  const Program program = lower(make_job(2, false), 1);
  EXPECT_EQ(program.parameters.front().local_shape(), (std::vector<std::int64_t>{6, 8}));
  EXPECT_THAT(to_string(program), HasSubstr("vocab=6 real=5 first=6 total=11"));
}

TEST(TensorParallel, RefusesWhatDoesNotDivide) {
  const auto message = [](Job job) -> std::string {
    try {
      lower(job, 0);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(message(make_job(4, false)), HasSubstr("parallel.tp: is 4, but model gpt2 has 2 attention heads"));
  Job odd = make_job(2, true);
  odd.data.seq_len = 3;
  EXPECT_THAT(message(odd), HasSubstr("parallel.sp: splits the 3 tokens"));
  EXPECT_THAT(message(make_job(1, true)), HasSubstr("parallel.sp"));
}

}  // namespace
}  // namespace shardscope
