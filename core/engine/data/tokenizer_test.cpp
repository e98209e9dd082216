#include "core/engine/data/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_trainer.h>

#include <cstdio>
#include <fstream>

#include "core/error.h"

namespace shardscope {
namespace {

using testing::ElementsAre;

TEST(Tokenizer, BytesThereAndBack) {
  const auto bytes = open_tokenizer("", 256);
  EXPECT_THAT(bytes->encode("az\xC3\xA9"), ElementsAre(97, 122, 0xC3, 0xA9));
  EXPECT_EQ(bytes->decode(bytes->encode("To be\n")), "To be\n");
  EXPECT_EQ(bytes->decode(std::vector<std::int32_t>{65, 300}), "A\xEF\xBF\xBD");
  EXPECT_FALSE(bytes->end_token());
  EXPECT_THROW(open_tokenizer("", 100)->encode("z"), Error);
  EXPECT_EQ(open_tokenizer("", 100)->encode("Z").size(), 1U);
}

TEST(Tokenizer, PiecesThereAndBack) {
  const std::string prefix = testing::TempDir() + "/tokenizer_test";
  std::ofstream(prefix + ".txt") << "the cat sat on the mat\nthe dog sat on the log\na cat and a dog\n";
  ASSERT_TRUE(sentencepiece::SentencePieceTrainer::Train("--input=" + prefix + ".txt --model_prefix=" + prefix +
                                                         " --vocab_size=30 --hard_vocab_limit=false --minloglevel=2")
                  .ok());
  const auto pieces = open_tokenizer(prefix + ".model", 30);
  EXPECT_EQ(pieces->decode(pieces->encode("the dog sat on a cat")), "the dog sat on a cat");
  EXPECT_TRUE(pieces->end_token());
  EXPECT_TRUE(pieces->begin_token());
  EXPECT_THROW(open_tokenizer(prefix + ".model", 9), Error);
  EXPECT_THROW(open_tokenizer(prefix + ".txt", 29), Error);
  for (const char* end : {".txt", ".model", ".vocab"}) std::remove((prefix + end).c_str());
}

TEST(TextStream, HoldsBackCharactersThatAreIncomplete) {
  const auto bytes = open_tokenizer("", 256);
  const std::vector<std::int32_t> tokens = bytes->encode("a\xC3\xA9\xE2\x82\xAC!\xF0\x9F");
  TextStream stream(*bytes);
  std::vector<std::string> parts;
  for (std::size_t n = 1; n <= tokens.size(); ++n) parts.push_back(stream.next(std::span(tokens).first(n)));
  EXPECT_THAT(parts, ElementsAre("a", "", "\xC3\xA9", "", "", "\xE2\x82\xAC", "!", "", ""));
  EXPECT_EQ(stream.finish(tokens), "\xF0\x9F");
  EXPECT_EQ(stream.finish(tokens), "");
}

}  // namespace
}  // namespace shardscope
