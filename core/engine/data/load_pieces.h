#pragma once
// Opens a SentencePiece model, for training text and for prompts alike.
//
//   sentencepiece::SentencePieceProcessor model;
//   load_pieces(model, "tokenizer.model", job.model.vocab_size);

#include <sentencepiece_processor.h>

#include <cstdint>
#include <string>

namespace shardscope {

/// Throws Error{kConfig} if it cannot be read, or has more pieces than the vocabulary.
void load_pieces(sentencepiece::SentencePieceProcessor& model, const std::string& path, std::int64_t vocab);

}  // namespace shardscope
