#pragma once
// Where training sequences come from. One source serves all ranks and threads of a run.
//
//   std::unique_ptr<SequenceSource> data = open_sequences(job);     // core/engine/data/open_sequences.h
//   data->read(17, tokens);                                         // sequence 17 of the run

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/engine/run_position.h"
#include "core/program/ops.h"

namespace shardscope {

/// An endless, deterministic list of sequences of seq_len + 1 tokens. Which rank reads which one is not its business
/// (BatchSource decides), so every split of a batch over ranks and micro-batches sees the same sequences.
class SequenceSource {
 public:
  virtual ~SequenceSource() = default;
  virtual std::int64_t seq_len() const = 0;
  /// Sequences before the list repeats in another order; 0: it never repeats.
  virtual std::int64_t sequences_per_epoch() const = 0;
  /// What it reads, for messages: "3 files, 12345 tokens (1 skipped: not text)".
  virtual std::string describe() const = 0;
  /// Fills `tokens` (seq_len + 1 of them) with sequence number `index`. Thread-safe. Throws Error{kIo, kConfig}.
  virtual void read(std::int64_t index, std::span<std::int32_t> tokens) const = 0;
};

/// Uniform random tokens, for tests and benches. Never repeats.
std::unique_ptr<SequenceSource> make_random_sequences(std::int64_t vocab, std::int64_t seq_len, std::uint64_t seed);

/// One rank's view: its micro-batches of each step, as rows of the global batch. Row j of micro-batch k of
/// data-parallel rank r is sequence  step * train_batch + (k * dp + r) * micro + j; in a run that goes on from `start`,
/// start.sequences + (step - start.steps) * train_batch + ...
class BatchSource {
 public:
  BatchSource(const SequenceSource& sequences, int dp, int dp_rank, std::int64_t micro_batch, std::int64_t accumulation,
              const RunPosition& start = {});
  /// Fills tokens and targets (micro_batch * seq_len each); targets are the tokens shifted by one. Either may be
  /// null: a pipeline stage needs only one of them.
  void fill(std::int64_t step, std::int64_t micro_batch, std::int32_t* tokens, std::int32_t* targets) {
    fill_part(step, micro_batch, {}, seq_len(), tokens, targets);
  }
  /// The same of `seq` tokens of each sequence: those of `part`.
  void fill_part(std::int64_t step, std::int64_t micro_batch, SequencePart part, std::int64_t seq, std::int32_t* tokens,
                 std::int32_t* targets);
  std::int64_t rows() const { return rows_; }
  std::int64_t seq_len() const { return sequences_.seq_len(); }

 private:
  const SequenceSource& sequences_;
  std::int64_t dp_, dp_rank_, rows_, accumulation_;
  std::int64_t origin_;  // sequence that step 0 starts with; negative if earlier steps were smaller
};

}  // namespace shardscope
