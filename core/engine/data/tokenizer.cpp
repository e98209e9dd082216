#include "core/engine/data/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/engine/data/load_pieces.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr const char* kReplacement = "\xEF\xBF\xBD";  // U+FFFD

class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(std::int64_t vocab) : vocab_(vocab) {}
  std::vector<std::int32_t> encode(const std::string& text) const override {
    std::vector<std::int32_t> tokens;
    for (const char c : text) {
      tokens.push_back(static_cast<unsigned char>(c));
      if (tokens.back() < vocab_) continue;
      throw Error(ErrorKind::kConfig,
                  fmt::format("prompt: byte {} at offset {} is beyond the model's vocab_size of {}; "
                              "byte tokens need 256",
                              tokens.back(), tokens.size() - 1, vocab_));
    }
    return tokens;
  }
  std::string decode(std::span<const std::int32_t> tokens) const override {
    std::string text;
    for (const std::int32_t t : tokens) {
      t < 256 ? text += static_cast<char>(t) : text += kReplacement;
    }
    return text;
  }
  std::optional<std::int32_t> begin_token() const override { return std::nullopt; }
  std::optional<std::int32_t> end_token() const override { return std::nullopt; }

 private:
  std::int64_t vocab_;
};

class PieceTokenizer : public Tokenizer {
 public:
  PieceTokenizer(const std::string& path, std::int64_t vocab) { load_pieces(model_, path, vocab); }
  std::vector<std::int32_t> encode(const std::string& text) const override {
    const std::vector<int> ids = model_.EncodeAsIds(text);
    return {ids.begin(), ids.end()};
  }
  std::string decode(std::span<const std::int32_t> tokens) const override {
    std::vector<int> known;
    std::copy_if(tokens.begin(), tokens.end(), std::back_inserter(known),
                 [&](std::int32_t t) { return t < model_.GetPieceSize(); });
    return model_.DecodeIds(known);
  }
  std::optional<std::int32_t> begin_token() const override { return known(model_.bos_id()); }
  std::optional<std::int32_t> end_token() const override { return known(model_.eos_id()); }

 private:
  static std::optional<std::int32_t> known(int id) { return id < 0 ? std::nullopt : std::optional<std::int32_t>(id); }
  sentencepiece::SentencePieceProcessor model_;
};

/// Bytes at the end of `text` that may yet become another character: the start of a UTF-8 sequence, or U+FFFD, which
/// stands for one.
std::size_t incomplete_tail(const std::string& text) {
  std::size_t end = text.size();
  while (end >= 3 && text.compare(end - 3, 3, kReplacement) == 0) end -= 3;
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, end); ++back) {
    const auto c = static_cast<unsigned char>(text[end - back]);
    if (c < 0x80) break;
    const std::size_t length = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 0;
    if (length == 0) continue;  // inside a sequence
    if (length > back) end -= back;
    break;
  }
  return text.size() - end;
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& model_path, std::int64_t vocab) {
  if (model_path.empty()) return std::make_unique<ByteTokenizer>(vocab);
  return std::make_unique<PieceTokenizer>(model_path, vocab);
}

std::string TextStream::next(std::span<const std::int32_t> tokens) {
  const std::string text = tokenizer_.decode(tokens);
  const std::size_t end = std::max(text.size() - incomplete_tail(text), std::min(shown_, text.size()));
  std::string added = text.substr(std::min(shown_, end), end - std::min(shown_, end));
  shown_ = end;
  return added;
}

std::string TextStream::finish(std::span<const std::int32_t> tokens) {
  const std::string text = tokenizer_.decode(tokens);
  std::string added = text.substr(std::min(shown_, text.size()));
  shown_ = text.size();
  return added;
}

}  // namespace shardscope
