#include "core/engine/sequence_source.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "core/engine/random.h"

namespace shardscope {
namespace {

class RandomSequences : public SequenceSource {
 public:
  RandomSequences(std::int64_t vocab, std::int64_t seq_len, std::uint64_t seed)
      : vocab_(static_cast<std::uint64_t>(vocab)), seq_len_(seq_len), key_(random_key(seed, "sequences")) {
    SS_CHECK(vocab >= 1 && seq_len >= 1, vocab, seq_len);
  }
  std::int64_t seq_len() const override { return seq_len_; }
  std::int64_t sequences_per_epoch() const override { return 0; }
  std::string describe() const override { return "random tokens"; }
  void read(std::int64_t index, std::span<std::int32_t> tokens) const override {
    SS_CHECK(static_cast<std::int64_t>(tokens.size()) == seq_len_ + 1, tokens.size(), seq_len_);
    const std::uint64_t first = static_cast<std::uint64_t>(index) * static_cast<std::uint64_t>(seq_len_ + 1);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = static_cast<std::int32_t>(random_bits(key_, first + i) % vocab_);
    }
  }

 private:
  std::uint64_t vocab_;
  std::int64_t seq_len_;
  std::uint64_t key_;
};

}  // namespace

std::unique_ptr<SequenceSource> make_random_sequences(std::int64_t vocab, std::int64_t seq_len, std::uint64_t seed) {
  return std::make_unique<RandomSequences>(vocab, seq_len, seed);
}

BatchSource::BatchSource(const SequenceSource& sequences, int dp, int dp_rank, std::int64_t micro_batch,
                         std::int64_t accumulation, const RunPosition& start)
    : sequences_(sequences),
      dp_(dp),
      dp_rank_(dp_rank),
      rows_(micro_batch),
      accumulation_(accumulation),
      origin_(start.sequences - start.steps * rows_ * accumulation_ * dp_) {
  SS_CHECK(dp >= 1 && dp_rank >= 0 && dp_rank < dp && micro_batch >= 1 && accumulation >= 1, dp, dp_rank, micro_batch,
           accumulation);
}

void BatchSource::fill_part(std::int64_t step, std::int64_t micro_batch, SequencePart part, std::int64_t seq,
                            std::int32_t* tokens, std::int32_t* targets) {
  SS_CHECK(micro_batch >= 0 && micro_batch < accumulation_, micro_batch, accumulation_);
  SS_CHECK(part.start >= 0 && part.end(seq) <= seq_len(), part.start, part.jump, seq, seq_len());
  const std::int64_t train_batch = rows_ * accumulation_ * dp_;
  const std::int64_t first = origin_ + step * train_batch + (micro_batch * dp_ + dp_rank_) * rows_;
  std::vector<std::int32_t> row(static_cast<std::size_t>(seq_len()) + 1);
  for (std::int64_t j = 0; j < rows_; ++j) {
    sequences_.read(first + j, row);
    for (std::int64_t i = 0; i < seq; ++i) {
      const auto at = static_cast<std::size_t>(part.position(i, seq));
      if (tokens != nullptr) tokens[j * seq + i] = row[at];
      if (targets != nullptr) targets[j * seq + i] = row[at + 1];
    }
  }
}

}  // namespace shardscope
