#include "core/engine/sequence_batch.h"

#include <algorithm>

#include "core/check.h"

namespace shardscope {

SequenceBatch::SequenceBatch(std::span<const Tokens> prompts, const SequenceLimits& limits)
    : prompts_(prompts.begin(), prompts.end()), limits_(limits), continuations_(prompts.size()) {
  for (const Tokens& prompt : prompts_) SS_CHECK(!prompt.empty());
}

void SequenceBatch::fill(std::span<std::int32_t> tokens, std::span<std::int32_t> starts,
                         std::span<std::int32_t> counts) const {
  SS_CHECK(starts.size() == prompts_.size() && counts.size() == prompts_.size(), starts.size(), prompts_.size());
  const std::size_t seq = tokens.size() / prompts_.size();
  for (std::size_t b = 0; b < prompts_.size(); ++b) {
    const Tokens& prompt = prompts_[b];
    const Tokens& added = continuations_[b].tokens;
    const std::span<std::int32_t> row = tokens.subspan(b * seq, seq);
    if (added.empty()) {
      SS_CHECK(prompt.size() <= seq, prompt.size(), seq);
      std::fill(std::copy(prompt.begin(), prompt.end(), row.begin()), row.end(), 0);
      starts[b] = 0;
      counts[b] = static_cast<std::int32_t>(prompt.size());
    } else {
      row[0] = added.back();
      starts[b] = static_cast<std::int32_t>(prompt.size() + added.size() - 1);
      if (finished(b)) --starts[b];  // there may be no place for a token that nobody reads
      counts[b] = 1;
    }
  }
}

void SequenceBatch::append(std::span<const std::int32_t> tokens, std::span<const float> logprobs) {
  for (std::size_t b = 0; b < prompts_.size(); ++b) {
    if (finished(b)) continue;
    Continuation& c = continuations_[b];
    c.tokens.push_back(tokens[b]);
    c.logprobs.push_back(logprobs[b]);
    c.ended = limits_.end_token == tokens[b];
  }
}

bool SequenceBatch::finished(std::size_t sequence) const {
  const Continuation& c = continuations_[sequence];
  return c.ended || static_cast<std::int64_t>(c.tokens.size()) >= limits_.new_tokens;
}

bool SequenceBatch::finished() const {
  for (std::size_t b = 0; b < continuations_.size(); ++b) {
    if (!finished(b)) return false;
  }
  return true;
}

}  // namespace shardscope
