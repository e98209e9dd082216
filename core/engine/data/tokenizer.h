#pragma once
// Text as tokens and back, as training reads text (open_sequences.h): bytes, or the pieces of a SentencePiece model.
//
//   std::unique_ptr<Tokenizer> tokenizer = open_tokenizer("", model.vocab_size);   // bytes
//   std::string text = tokenizer->decode(tokenizer->encode("To be"));

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace shardscope {

/// Thread-safe.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Throws Error{kConfig} for text that the vocabulary has no token for.
  virtual std::vector<std::int32_t> encode(const std::string& text) const = 0;
  /// Tokens that are no text of their own (end of sentence, numbers beyond the tokenizer's) give nothing or U+FFFD.
  virtual std::string decode(std::span<const std::int32_t> tokens) const = 0;
  virtual std::optional<std::int32_t> begin_token() const = 0;
  virtual std::optional<std::int32_t> end_token() const = 0;
};

/// `model_path`: a SentencePiece model; empty: every byte is a token. Throws Error{kConfig} for a model that cannot be
/// read or has more pieces than the vocabulary.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& model_path, std::int64_t vocab);

/// The text of tokens that come one by one, without characters that are still incomplete.
class TextStream {
 public:
  explicit TextStream(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  /// What `tokens`, all so far, add to the text returned before.
  std::string next(std::span<const std::int32_t> tokens);
  /// The rest, complete or not.
  std::string finish(std::span<const std::int32_t> tokens);

 private:
  const Tokenizer& tokenizer_;
  std::size_t shown_ = 0;  ///< bytes of the text
};

}  // namespace shardscope
