#include "core/engine/data/load_pieces.h"

#include <fmt/format.h>

#include <filesystem>

#include "core/error.h"

namespace shardscope {

void load_pieces(sentencepiece::SentencePieceProcessor& model, const std::string& path, std::int64_t vocab) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {  // the library would let an exception out that does not name it
    throw Error(ErrorKind::kConfig, path + ": is a folder; a SentencePiece model's file is needed");
  }
  const auto status = model.Load(path);
  if (!status.ok()) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: not a SentencePiece model that can be read: {}", path, status.ToString()));
  }
  if (model.GetPieceSize() > vocab) {
    throw Error(ErrorKind::kConfig,
                fmt::format("{}: has {} pieces, the model's vocab_size is {}; it must be at least as large", path,
                            model.GetPieceSize(), vocab));
  }
}

}  // namespace shardscope
