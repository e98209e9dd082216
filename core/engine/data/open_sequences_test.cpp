#include "core/engine/data/open_sequences.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/engine/data/text_files.h"
#include "core/error.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

/// A directory that goes with the test.
class Scratch {
 public:
  Scratch()
      : path_(fs::temp_directory_path() / ("shardscope_data_" + std::to_string(::getpid()) + "_" +
                                           testing::UnitTest::GetInstance()->current_test_info()->name())) {
    fs::create_directories(path_);
  }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return (path_ / name).string();
  }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

std::string all_text(const TextFiles& files) {
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(files.total_bytes()));
  files.copy(0, tokens);
  return {tokens.begin(), tokens.end()};
}

template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return error.what();
  }
  return "not refused";
}

TEST(TextFiles, WalksADirectoryInSortedOrderAndCountsWhatItLeavesOut) {
  const Scratch dir;
  dir.write("b.txt", "second ");
  dir.write("a/z.txt", "first ");
  dir.write("c.bin", std::string("\0\1\2", 3));
  dir.write("d.txt", "");
  dir.write("e.txt", "third");
  fs::create_symlink(dir.path() + "/b.txt", dir.path() + "/f.txt");
  fs::create_directory_symlink(dir.path(), dir.path() + "/loop");
  const TextFiles files(dir.path());
  EXPECT_EQ(all_text(files), "first second third");
  EXPECT_EQ(files.describe(), "3 files, 18 bytes (1 not text, 0 unreadable)");
}

TEST(TextFiles, ReadsAcrossFilesSmallAndMapped) {
  const Scratch dir;
  std::string large(200000, 'x');
  for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>('a' + i % 26);
  dir.write("a", "small");
  dir.write("b", large);
  dir.write("c", "\xe9t\xe9");  // Latin-1 is text too
  const TextFiles files(dir.path());
  EXPECT_EQ(all_text(files).substr(0, 200005), "small" + large);
  std::vector<std::int32_t> tail(4);
  files.copy(200004, tail);
  EXPECT_THAT(tail, testing::ElementsAre(large.back(), 0xe9, 't', 0xe9));
}

TEST(TextFiles, RefusesWhatIsNotThereOrNotText) {
  const Scratch dir;
  EXPECT_THAT(refusal([&] { TextFiles(dir.path() + "/none"); }), testing::HasSubstr("no such file"));
  EXPECT_THAT(refusal([&] { TextFiles files(dir.path()); }), testing::HasSubstr("holds no text files"));
  EXPECT_THAT(refusal([&] { TextFiles(dir.write("e", "")); }), testing::HasSubstr("is empty"));
  EXPECT_THAT(refusal([&] { TextFiles(dir.write("z", std::string(100, '\0'))); }), testing::HasSubstr("is not text"));
  EXPECT_THAT(refusal([&] { TextFiles(dir.write("y", std::string(100, '\1'))); }), testing::HasSubstr("is not text"));
}

TEST(TextFiles, UnreadableFilesAreCountedAndAloneRefused) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads everything";
  const Scratch dir;
  const std::string secret = dir.write("secret", "text");
  dir.write("open", "text");
  fs::permissions(secret, fs::perms::none);
  EXPECT_THAT(TextFiles(dir.path()).describe(), testing::HasSubstr("1 unreadable"));
  EXPECT_THAT(refusal([&] { TextFiles files(secret); }), testing::HasSubstr("cannot be read"));
}

std::vector<std::vector<std::int32_t>> read_epoch(const SequenceSource& source, std::int64_t first) {
  std::vector<std::vector<std::int32_t>> rows;
  for (std::int64_t i = 0; i < source.sequences_per_epoch(); ++i) {
    rows.emplace_back(static_cast<std::size_t>(source.seq_len()) + 1);
    source.read(first + i, rows.back());
  }
  return rows;
}

TEST(Windows, AnEpochHoldsEveryWindowOnceInASeededOrder) {
  const Scratch dir;
  std::string text;
  for (int i = 0; i < 101; ++i) text += static_cast<char>(32 + i % 90);
  const std::string path = dir.write("t", text);
  const auto source = make_windows(open_bytes(path, 256), 5, 1);
  ASSERT_EQ(source->sequences_per_epoch(), 20);
  const auto first = read_epoch(*source, 0), second = read_epoch(*source, 20);
  EXPECT_NE(first, second);
  using Rows = std::multiset<std::vector<std::int32_t>>;
  EXPECT_EQ(Rows(first.begin(), first.end()), Rows(second.begin(), second.end()));
  Rows expected;
  for (std::size_t w = 0; w < 20; ++w) expected.insert({text.begin() + 5 * w, text.begin() + 5 * w + 6});
  EXPECT_EQ(Rows(first.begin(), first.end()), expected);
  EXPECT_EQ(read_epoch(*make_windows(open_bytes(path, 256), 5, 1), 0), first);
  EXPECT_NE(read_epoch(*make_windows(open_bytes(path, 256), 5, 2), 0), first);
}

TEST(Windows, TooLittleTextIsRefused) {
  const Scratch dir;
  const std::string path = dir.write("t", "abcdef");
  EXPECT_EQ(make_windows(open_bytes(path, 256), 5, 1)->sequences_per_epoch(), 1);
  EXPECT_THAT(refusal([&] { make_windows(open_bytes(path, 256), 6, 1); }), testing::HasSubstr("too few"));
  EXPECT_THAT(refusal([&] { make_windows(open_bytes(path, 256), 0, 1); }), testing::HasSubstr("at least 1"));
}

TEST(OpenBytes, TokensBeyondTheVocabularyAreRefusedWithTheirPlace) {
  const Scratch dir;
  const std::string path = dir.write("t", "abc~def");
  EXPECT_EQ(open_bytes(path, 127)->size(), 7);
  const std::string text = refusal([&] { open_bytes(path, 126); });
  EXPECT_THAT(text, testing::HasSubstr("byte 126 at offset 3"));
  EXPECT_THAT(text, testing::HasSubstr("vocab_size of 126"));
}

Job job_on(const std::string& path) {
  Job job;
  job.data.path = path;
  job.data.seq_len = 10;
  job.model.vocab_size = 256;
  job.training.train_batch_size = 4;
  return job;
}

TEST(OpenSequences, RefusesTextOfLessThanAStep) {
  const Scratch dir;
  const std::string path = dir.write("t", std::string(41, 'x'));
  EXPECT_EQ(open_sequences(job_on(path))->sequences_per_epoch(), 4);
  const std::string small = dir.write("s", std::string(40, 'x'));
  EXPECT_THAT(refusal([&] { open_sequences(job_on(small)); }), testing::HasSubstr("holds 3 sequences of 10 tokens"));
}

TEST(OpenSequences, ReadsTheSystemsTextByDefault) {
  if (!fs::is_directory("/usr/share/common-licenses") && !fs::is_directory("/usr/share/doc")) GTEST_SKIP();
  const auto source = open_sequences(job_on(""));
  EXPECT_GT(source->sequences_per_epoch(), 1000);
}

TEST(OpenSequences, TokenisesWithSentencePiece) {
  const Scratch dir;
  std::string text;
  for (int i = 0; i < 200; ++i) text += "the quick brown fox jumps over the lazy dog and the other fox\n";
  const std::string path = dir.write("t", text), model = dir.path() + "/m";
  const auto trained = sentencepiece::SentencePieceTrainer::Train("--input=" + path + " --model_prefix=" + model +
                                                                  " --vocab_size=40 --hard_vocab_limit=false");
  ASSERT_TRUE(trained.ok()) << trained.ToString();
  Job job = job_on(path);
  job.data.tokenizer = model + ".model";
  const auto source = open_sequences(job);
  EXPECT_THAT(source->describe(), testing::HasSubstr("1 file, 12400 bytes, "));
  std::vector<std::int32_t> row(11);
  source->read(0, row);
  sentencepiece::SentencePieceProcessor processor;
  ASSERT_TRUE(processor.Load(model + ".model").ok());
  std::string decoded;
  ASSERT_TRUE(processor.Decode(std::vector<int>(row.begin(), row.end()), &decoded).ok());
  for (char c : decoded) EXPECT_THAT(text, testing::HasSubstr(std::string(1, c)));
  EXPECT_GT(decoded.size(), 11U);  // pieces are longer than bytes

  const int pieces = processor.GetPieceSize();
  job.model.vocab_size = pieces - 1;
  EXPECT_THAT(refusal([&] { open_sequences(job); }),
              testing::HasSubstr("has " + std::to_string(pieces) + " pieces, the model's vocab_size is"));
  job.data.tokenizer = path;
  EXPECT_THAT(refusal([&] { open_sequences(job); }), testing::HasSubstr("not a SentencePiece model"));
}

TEST(BatchSource, EverySplitSeesTheSameSequencesPerStep) {
  const auto source = make_random_sequences(50, 6, 3);
  const auto rows_of = [&](int dp, std::int64_t micro, std::int64_t accumulation, std::int64_t step) {
    std::vector<std::vector<std::int32_t>> rows;  // in global order
    for (std::int64_t k = 0; k < accumulation; ++k) {
      for (int r = 0; r < dp; ++r) {
        BatchSource batches(*source, dp, r, micro, accumulation);
        std::vector<std::int32_t> tokens(static_cast<std::size_t>(micro) * 6), targets(tokens.size());
        batches.fill(step, k, tokens.data(), targets.data());
        for (auto at = tokens.begin(); at != tokens.end(); at += 6) rows.emplace_back(at, at + 6);
        for (auto at = targets.begin(); at != targets.end(); at += 6) rows.emplace_back(at, at + 6);
      }
    }
    return rows;
  };
  const auto one = rows_of(1, 1, 12, 3);  // one sequence at a time: tokens, targets, tokens, ...
  const auto split = rows_of(3, 2, 2, 3);
  ASSERT_EQ(one.size(), split.size());
  for (std::size_t batch = 0; batch < 6; ++batch) {  // of two rows: tokens, tokens, targets, targets
    EXPECT_EQ(split[batch * 4], one[batch * 4]);
    EXPECT_EQ(split[batch * 4 + 1], one[batch * 4 + 2]);
    EXPECT_EQ(split[batch * 4 + 2], one[batch * 4 + 1]);
    EXPECT_EQ(split[batch * 4 + 3], one[batch * 4 + 3]);
  }
  EXPECT_TRUE(std::equal(one[0].begin() + 1, one[0].end(), one[1].begin()));  // targets are the next tokens
  EXPECT_NE(rows_of(1, 1, 12, 4), one);
}

TEST(BatchSource, APartHoldsItsTokensOfEachSequence) {
  const auto source = make_random_sequences(50, 8, 3);
  BatchSource batches(*source, 1, 0, 2, 1);
  std::vector<std::int32_t> tokens(16), targets(16), part(8), part_targets(8);
  batches.fill(0, 0, tokens.data(), targets.data());
  batches.fill_part(0, 0, {1, 3}, 4, part.data(), part_targets.data());  // positions 1, 2, 6, 7
  EXPECT_THAT(part, testing::ElementsAre(tokens[1], tokens[2], tokens[6], tokens[7], tokens[9], tokens[10], tokens[14],
                                         tokens[15]));
  EXPECT_THAT(part_targets, testing::ElementsAre(targets[1], targets[2], targets[6], targets[7], targets[9],
                                                 targets[10], targets[14], targets[15]));
}

}  // namespace
}  // namespace shardscope
