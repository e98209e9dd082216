#include "core/spec/model_spec.h"

#include <gtest/gtest.h>

namespace shardscope {
namespace {

constexpr const char* kGpt2 =
    R"({"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024})";

TEST(ModelSpec, Gpt2HasItsPublishedSize) { EXPECT_EQ(parameter_count(parse_model(kGpt2, "c")), 124439808); }

TEST(ModelSpec, CountIsTheSumOfTheTensors) {
  const ModelSpec model = parse_model(kGpt2, "c");
  std::int64_t sum = 0;
  for (const TensorSpec& tensor : list_tensors(model)) {
    std::int64_t n = 1;
    for (const std::int64_t extent : tensor.shape) n *= extent;
    sum += n;
  }
  EXPECT_EQ(sum, parameter_count(model));
}

}  // namespace
}  // namespace shardscope
