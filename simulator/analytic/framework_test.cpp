#include "simulator/analytic/framework.h"

#include <gmock/gmock.h>

#include "core/error.h"

namespace shardscope {
namespace {

using ::testing::HasSubstr;

std::string found(std::string_view text) { return find_framework(default_frameworks(), text).name; }

TEST(Framework, TablesNameThemInManyWays) {
  EXPECT_EQ(found("Megatron-LM (TE 2.11)"), "megatron");
  EXPECT_EQ(found("NeMo/Megatron-Core"), "megatron");
  EXPECT_EQ(found("Megatron-Bridge/Megatron-Core"), "megatron");
  EXPECT_EQ(found("Megatron-DeepSpeed"), "megatron_deepspeed");
  EXPECT_EQ(found("Megatron-DeepSpeed ZeRO-3 (0.6.2)"), "deepspeed");
  EXPECT_EQ(found("HF Trainer + DeepSpeed 0.14.2"), "deepspeed");
  EXPECT_EQ(found("llm-foundry/Composer PyTorch FSDP"), "fsdp");
  EXPECT_EQ(found("fsdp2"), "fsdp2");
  EXPECT_EQ(found("torchtitan 0.2"), "fsdp2");
  EXPECT_EQ(found("nanotron v0.5"), "nanotron");
  EXPECT_EQ(found("JAX/Pax XLA + TransformerEngine"), "pax");
  EXPECT_EQ(found("JAX/MaxText"), "jax");
  EXPECT_EQ(found("llm.c"), "llmc");
}

TEST(Framework, UnknownOnesListTheKnown) {
  try {
    find_framework(default_frameworks(), "Megatronic");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("framework \"Megatronic\": is not known; there are deepspeed, fsdp, fsdp2"));
  }
}

TEST(Framework, EveryKeyIsKnownAndEveryEntryHasASource) {
  EXPECT_GE(default_frameworks().size(), 9u);
  for (const FrameworkSpec& spec : default_frameworks()) EXPECT_GT(spec.source.size(), 20u) << spec.name;
  EXPECT_THROW(parse_frameworks(R"({"x": {"title": "X", "source": "s", "gradient_byte": 4}})", "x.json"), Error);
  EXPECT_THROW(parse_frameworks(R"({"x": {"title": "X", "source": "s", "attention": "fast"}})", "x.json"), Error);
  EXPECT_THROW(parse_frameworks(R"({"x": {"title": "X"}})", "x.json"), Error);
}

}  // namespace
}  // namespace shardscope
