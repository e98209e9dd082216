#include "core/engine/suggest_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shardscope {
namespace {

using testing::HasSubstr;

Job make_job(int stage, std::int64_t micro_batch) {
  Job job;
  job.model = parse_model(R"({"model_type": "gpt2", "vocab_size": 64, "n_embd": 32, "n_layer": 4, "n_head": 4,
                              "n_positions": 64})",
                          "test model");
  job.data.seq_len = 32;
  job.parallel.dp = 4;
  job.training.micro_batch = micro_batch;
  job.training.accumulation = 1;
  job.training.train_batch_size = 4 * micro_batch;
  job.training.zero.stage = stage;
  return job;
}

TEST(SuggestFit, SuggestsOnlyWhatFits) {
  const Job job = make_job(0, 8);
  const std::int64_t needed = peak_device_bytes(job);
  for (const int percent : {95, 80, 60, 40}) {
    const std::int64_t limit = needed * percent / 100;
    const std::vector<FitSuggestion> suggestions = suggest_fit(job, limit, peak_device_bytes);
    EXPECT_LE(suggestions.size(), 3U);
    EXPECT_FALSE(suggestions.empty()) << percent;
    for (const FitSuggestion& s : suggestions) EXPECT_LE(s.device_bytes, limit) << s.change;
  }
}

TEST(SuggestFit, OneChangeWhereOneIsEnough) {
  const Job job = make_job(0, 8);
  for (const FitSuggestion& s : suggest_fit(job, peak_device_bytes(job) * 9 / 10, peak_device_bytes)) {
    EXPECT_EQ(s.change.find(" and "), std::string::npos) << s.change;
  }
}

TEST(SuggestFit, ActivationsAreNotCuredByAStage) {
  Job job = make_job(0, 32);  // nearly all of it activations
  const std::vector<FitSuggestion> suggestions = suggest_fit(job, peak_device_bytes(job) / 2, peak_device_bytes);
  EXPECT_THAT(describe(suggestions), HasSubstr("what would fit: recompute full ("));
  job.recompute = Recompute::kFull;
  EXPECT_LT(peak_device_bytes(job), peak_device_bytes(make_job(0, 32)) / 2);
}

TEST(SuggestFit, SaysWhenNothingWould) {
  EXPECT_THAT(describe(suggest_fit(make_job(3, 1), 1000, peak_device_bytes)), HasSubstr("neither a higher stage"));
}

}  // namespace
}  // namespace shardscope
