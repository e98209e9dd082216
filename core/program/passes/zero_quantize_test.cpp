#include "core/program/passes/zero_quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "core/program/lower.h"

namespace shardscope {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Job make_job() {
  Job job;
  job.model = parse_model(R"({"model_type": "llama", "vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 1,
                              "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 8})",
                          "tiny");
  job.parallel.dp = 4;
  job.data.seq_len = 4;
  job.training.micro_batch = job.training.accumulation = 1;
  job.training.train_batch_size = 4;
  job.training.zero.stage = 3;
  job.training.zero.param_persistence_threshold = 0;
  return job;
}

/// Kinds and groups of a lane's ops on one chunk in a phase, in order.
std::vector<std::string> ops_of(const Program& program, Lane lane, Phase phase, std::string_view chunk) {
  std::vector<std::string> list;
  for (const Instruction& in : program.instructions) {
    if (in.lane != lane || in.label.phase != phase || program.name(in.label.name) != chunk) continue;
    if (std::holds_alternative<Alloc>(in.op) || std::holds_alternative<Free>(in.op)) continue;
    std::string text(op_name(in.op));
    if (const auto* gather = std::get_if<AllGather>(&in.op)) text += " " + program.group(gather->group).name;
    if (const auto* exchange = std::get_if<AllToAll>(&in.op)) text += " " + program.group(exchange->group).name;
    list.push_back(text);
  }
  return list;
}

TEST(ZeroPlusPlus, WeightsAreGatheredInInt8) {
  Job job = make_job();
  job.training.zero.quantized_weights = true;
  EXPECT_THAT(ops_of(lower(job, 1), Lane::kGather, Phase::kForward, "layer.1"),
              ElementsAre("quantize", "all_gather dp", "all_gather dp", "dequantize"));
}

TEST(ZeroPlusPlus, BackwardGathersTheSecondCopyWithinTheNode) {
  Job job = make_job();
  job.training.zero.hpz_partition_size = 2;
  const Program program = lower(job, 1);
  EXPECT_THAT(ops_of(program, Lane::kGather, Phase::kForward, "layer.1"), ElementsAre("all_gather dp", "copy"));
  EXPECT_THAT(ops_of(program, Lane::kGather, Phase::kBackward, "layer.1"), ElementsAre("all_gather node"));
}

TEST(ZeroPlusPlus, GradientsGoInInt4WithinTheNodeThenAcross) {
  Job job = make_job();
  job.training.zero.quantized_gradients = true;
  EXPECT_THAT(ops_of(lower(job, 1), Lane::kReduce, Phase::kBackward, "layer.1"),
              ElementsAre("quantize", "all_to_all dp", "all_to_all dp", "dequantize"));
  job.training.zero.hpz_partition_size = 2;
  EXPECT_THAT(ops_of(lower(job, 1), Lane::kReduce, Phase::kBackward, "layer.1"),
              ElementsAre("copy_rows", "copy_rows", "quantize", "all_to_all node", "all_to_all node", "dequantize",
                          "quantize", "all_to_all across", "all_to_all across", "dequantize"));
}

TEST(ZeroPlusPlus, RefusesOtherStagesAndSizesThatDoNotDivide) {
  const auto message = [](const Job& job) -> std::string {
    try {
      lower(job, 0);
    } catch (const Error& error) {
      return error.what();
    }
    return "no error";
  };
  Job job = make_job();
  job.training.zero.hpz_partition_size = 3;
  EXPECT_THAT(message(job), HasSubstr("must divide the data-parallel size 4"));
  job.training.zero.hpz_partition_size = 2;
  job.training.zero.stage = 2;
  EXPECT_THAT(message(job), HasSubstr("needs stage 3"));
}

}  // namespace
}  // namespace shardscope
