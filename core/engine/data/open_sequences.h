#pragma once
// Training sequences from text: bytes as tokens, or the pieces of a SentencePiece model; cut into windows of
// seq_len + 1 tokens (neighbours share one), shuffled anew in every epoch.
//
//   std::unique_ptr<SequenceSource> data = open_sequences(job);

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/engine/sequence_source.h"
#include "core/spec/job.h"

namespace shardscope {

/// One long row of tokens. Thread-safe to read.
class TokenStream {
 public:
  virtual ~TokenStream() = default;
  virtual std::int64_t size() const = 0;
  virtual void copy(std::int64_t begin, std::span<std::int32_t> out) const = 0;
  virtual std::string describe() const = 0;
};

/// Every byte of the text at `path` is a token. A vocabulary below 256 is allowed if the text keeps to it.
/// Throws Error{kConfig}: what TextFiles refuses, and a byte beyond the vocabulary, with its place.
std::unique_ptr<TokenStream> open_bytes(const std::string& path, std::int64_t vocab);

/// The text in pieces of a SentencePiece model, line by line, each file ended by the model's end-of-sentence piece if
/// it has one. Tokenised once and held in memory, 4 bytes per token. Throws Error{kConfig}: also for a model that
/// cannot be read or has more pieces than the vocabulary.
std::unique_ptr<TokenStream> open_pieces(const std::string& path, const std::string& model_path, std::int64_t vocab);

/// Windows of `stream` in an order that depends on (seed, epoch) alone. Throws Error{kConfig} if the stream is shorter
/// than one window.
std::unique_ptr<SequenceSource> make_windows(std::unique_ptr<TokenStream> stream, std::int64_t seq_len,
                                             std::uint64_t seed, const std::string& name = "data");

/// What the job names, or default_text_path(). Throws Error{kConfig}: all of the above, and text of fewer sequences
/// than one step takes.
std::unique_ptr<SequenceSource> open_sequences(const Job& job);

/// Text that every Debian machine has: the licence texts, else package documentation. Throws Error{kConfig} if neither
/// is there.
std::string default_text_path();

}  // namespace shardscope
