#pragma once
// The sequences that an inference adds tokens to: what each step reads of them, and what it adds. Every rank keeps its
// own: all of them choose the same tokens.
//
//   SequenceBatch batch(prompts, {.new_tokens = 20, .end_token = eos});
//   run prefill;  batch.append(next_tokens, logprobs);  while (!batch.finished()) { run decode; batch.append(...); }

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/engine/token_source.h"

namespace shardscope {

using Tokens = std::vector<std::int32_t>;

/// What was generated after a prompt.
struct Continuation {
  Tokens tokens;
  std::vector<float> logprobs;  ///< natural logarithms, of the model's own distribution (temperature 1, nothing cut)
  bool ended = false;           ///< its last token is the end token
};

struct SequenceLimits {
  std::int64_t new_tokens = 1;
  std::optional<std::int32_t> end_token;  ///< a sequence that gets it is finished
};

class SequenceBatch : public TokenSource {
 public:
  /// None of the prompts may be empty (SS_CHECK).
  SequenceBatch(std::span<const Tokens> prompts, const SequenceLimits& limits);

  /// The first step reads the prompts, padded to the longest; the later ones each sequence's last token. A finished
  /// sequence goes on in the step, on its last token and place, but gets nothing more.
  void fill(std::span<std::int32_t> tokens, std::span<std::int32_t> starts,
            std::span<std::int32_t> counts) const override;
  /// What a step chose for each sequence.
  void append(std::span<const std::int32_t> tokens, std::span<const float> logprobs);

  bool finished() const;  ///< all sequences are
  bool finished(std::size_t sequence) const;
  const std::vector<Continuation>& continuations() const { return continuations_; }

 private:
  std::vector<Tokens> prompts_;
  SequenceLimits limits_;
  std::vector<Continuation> continuations_;
};

}  // namespace shardscope
