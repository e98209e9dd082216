#include "core/engine/data/open_sequences.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/check.h"
#include "core/engine/data/load_pieces.h"
#include "core/engine/data/text_files.h"
#include "core/engine/random.h"
#include "core/error.h"

namespace shardscope {
namespace {

class ByteStream : public TokenStream {
 public:
  ByteStream(const std::string& path, std::int64_t vocab) : files_(path) {
    if (vocab < 256) check_vocabulary(vocab);
  }
  std::int64_t size() const override { return files_.total_bytes(); }
  void copy(std::int64_t begin, std::span<std::int32_t> out) const override { files_.copy(begin, out); }
  std::string describe() const override { return files_.describe(); }

 private:
  void check_vocabulary(std::int64_t vocab) const {
    for (std::size_t f = 0; f < files_.size(); ++f) {
      const std::span<const char> bytes = files_.bytes(f);
      const auto bad =
          std::find_if(bytes.begin(), bytes.end(), [vocab](char c) { return static_cast<unsigned char>(c) >= vocab; });
      if (bad == bytes.end()) continue;
      throw Error(ErrorKind::kConfig,
                  fmt::format("{}: byte {} at offset {} is beyond the model's vocab_size of {}; byte tokens need 256",
                              files_.name(f), static_cast<unsigned char>(*bad), bad - bytes.begin(), vocab));
    }
  }
  TextFiles files_;
};

class PieceStream : public TokenStream {
 public:
  PieceStream(const std::string& path, const std::string& model_path, std::int64_t vocab) {
    sentencepiece::SentencePieceProcessor model;
    load_pieces(model, model_path, vocab);
    const TextFiles files(path);
    for (std::size_t f = 0; f < files.size(); ++f) add_file(files.bytes(f), model);
    description_ = fmt::format("{}, {} tokens", files.describe(), tokens_.size());
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(tokens_.size()); }
  void copy(std::int64_t begin, std::span<std::int32_t> out) const override {
    SS_CHECK(begin >= 0 && begin + static_cast<std::int64_t>(out.size()) <= size(), begin, out.size(), size());
    std::copy_n(tokens_.begin() + begin, out.size(), out.begin());
  }
  std::string describe() const override { return description_; }

 private:
  void add_file(std::span<const char> text, const sentencepiece::SentencePieceProcessor& model) {
    while (!text.empty()) {
      const auto end = std::find(text.begin(), text.end(), '\n');
      const auto length = static_cast<std::size_t>(end - text.begin());
      for (const int id : model.EncodeAsIds({text.data(), length})) tokens_.push_back(id);
      text = text.subspan(std::min(length + 1, text.size()));
    }
    if (model.eos_id() >= 0) tokens_.push_back(model.eos_id());
  }
  std::vector<std::int32_t> tokens_;
  std::string description_;
};

class Windows : public SequenceSource {
 public:
  Windows(std::unique_ptr<TokenStream> stream, std::int64_t seq_len, std::uint64_t seed)
      : stream_(std::move(stream)), seq_len_(seq_len), windows_((stream_->size() - 1) / seq_len), seed_(seed) {}
  std::int64_t seq_len() const override { return seq_len_; }
  std::int64_t sequences_per_epoch() const override { return windows_; }
  std::string describe() const override { return stream_->describe(); }
  void read(std::int64_t index, std::span<std::int32_t> tokens) const override {
    SS_CHECK(index >= 0 && static_cast<std::int64_t>(tokens.size()) == seq_len_ + 1, index, tokens.size());
    const std::uint64_t key = random_key(seed_, "epoch") + static_cast<std::uint64_t>(index / windows_);
    const std::uint64_t window =
        permute(static_cast<std::uint64_t>(index % windows_), static_cast<std::uint64_t>(windows_), mix_bits(key));
    stream_->copy(static_cast<std::int64_t>(window) * seq_len_, tokens);
  }

 private:
  std::unique_ptr<TokenStream> stream_;
  std::int64_t seq_len_, windows_;
  std::uint64_t seed_;
};

}  // namespace

std::unique_ptr<TokenStream> open_bytes(const std::string& path, std::int64_t vocab) {
  return std::make_unique<ByteStream>(path, vocab);
}

std::unique_ptr<TokenStream> open_pieces(const std::string& path, const std::string& model_path, std::int64_t vocab) {
  return std::make_unique<PieceStream>(path, model_path, vocab);
}

std::unique_ptr<SequenceSource> make_windows(std::unique_ptr<TokenStream> stream, std::int64_t seq_len,
                                             std::uint64_t seed, const std::string& name) {
  if (seq_len < 1) throw Error(ErrorKind::kConfig, fmt::format("data.seq_len: {} must be at least 1", seq_len));
  if (stream->size() < seq_len + 1) {
    throw Error(ErrorKind::kConfig, fmt::format("{}: {} tokens ({}) are too few for one sequence of {} + 1; give more "
                                                "text or a smaller seq_len",
                                                name, stream->size(), stream->describe(), seq_len));
  }
  return std::make_unique<Windows>(std::move(stream), seq_len, seed);
}

std::unique_ptr<SequenceSource> open_sequences(const Job& job) {
  const std::string path = job.data.path.empty() ? default_text_path() : job.data.path;
  const std::int64_t vocab = job.model.vocab_size;
  auto stream = job.data.tokenizer.empty() ? open_bytes(path, vocab) : open_pieces(path, job.data.tokenizer, vocab);
  auto sequences = make_windows(std::move(stream), job.data.seq_len, job.seed, path);
  if (sequences->sequences_per_epoch() < job.training.train_batch_size) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: holds {} sequences of {} tokens ({}), one step takes {}; give more text, a smaller "
                            "seq_len or a smaller batch",
                            path, sequences->sequences_per_epoch(), job.data.seq_len, sequences->describe(),
                            job.training.train_batch_size));
  }
  return sequences;
}

std::string default_text_path() {
  for (const char* path : {"/usr/share/common-licenses", "/usr/share/doc"}) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) return path;
  }
  throw Error(ErrorKind::kConfig,
              "data: none given, and this machine has no /usr/share/common-licenses to read; name a "
              "text file or a directory with --data");
}

}  // namespace shardscope
