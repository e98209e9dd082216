#include "core/spec/model_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/error.h"
#include "source_dir.h"

namespace shardscope {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string refusal(const std::string& name) {
  try {
    return "found " + find_model(name).name;
  } catch (const Error& error) {
    return error.what();
  }
}

TEST(ModelCatalog, EveryNameIsFoundUnderItsOwnName) {
  const std::vector<std::string> names = model_names();
  EXPECT_TRUE(std::is_sorted(names.begin(), names.end()));
  for (const std::string& name : names) EXPECT_EQ(find_model(name).name, name);
}

TEST(ModelCatalog, SpellingsOfOneModelAreOneModel) {
  for (const char* name : {"llama-2-7b", "Llama-2-7b-hf", "meta-llama/Llama-2-7b", "LLAMA2_7B", "LLaMA2-7B (Pax)",
                           "meta-llama/Llama-2-7b-chat-hf"}) {
    EXPECT_EQ(find_model(name).name, "llama-2-7b") << name;
  }
  EXPECT_EQ(find_model("GPT2-1558M").name, "gpt2-xl");
  EXPECT_EQ(find_model("Qwen/Qwen3-30B-A3B").name, "qwen3-30b-a3b");
}

TEST(ModelCatalog, DotsOfNumbersCount) { EXPECT_EQ(find_model("OPT-1.3B").name, "opt-1.3b"); }

TEST(ModelCatalog, NamesTheNearest) {
  EXPECT_THAT(refusal("lama-2-7b"), HasSubstr("model \"lama-2-7b\": is neither a file nor in the catalog; nearest: "
                                              "llama-2-7b"));
  EXPECT_THAT(refusal("bloom-3000b"), HasSubstr("bloom"));
  EXPECT_THAT(refusal("zzz"), Not(HasSubstr("nearest")));
  EXPECT_THAT(refusal(""), HasSubstr("neither"));
  EXPECT_THAT(refusal("(hf)"), HasSubstr("neither"));
}

TEST(ModelCatalog, APathComesBeforeAName) {
  const std::string folder = SHARDSCOPE_SOURCE_DIR "/data/models/";
  EXPECT_EQ(open_model(folder + "gpt2-xl.json").name, "gpt2-xl");
  EXPECT_EQ(open_model("gpt2-xl").layers, 48);
  EXPECT_THROW(open_model("./gpt2-xl"), Error);  // no such file, and not looked up
  EXPECT_THROW(open_model("gpt2-xl.json"), Error);
}

}  // namespace
}  // namespace shardscope
