#pragma once
// The files of a checkpoint folder (docs/checkpoints.md): per rank a file of raw bytes and an index that says what they
// are, and one manifest, which is written last. The JSON files end in a checksum of themselves.
//
//   ckpt/step-20/checkpoint.json   rank-00000.json   rank-00000.bin   rank-00001.json ...

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine/checkpoint/deal_state.h"
#include "core/engine/checkpoint/state_source.h"
#include "core/engine/run_position.h"

namespace shardscope {

inline constexpr const char* kManifestFile = "checkpoint.json";
/// A part's bytes have a checksum per so many, so that a range can be read and be known to be whole.
inline constexpr std::int64_t kCheckedBytes = 1 << 20;

/// One OwnedPart as it lies in a rank's file.
struct PartEntry {
  std::string tensor;
  StateRole role = StateRole::kParameter;
  DType dtype = DType::kF32;
  std::int64_t offset = 0, elements = 0;  ///< bytes from the start of the file; elements
  std::vector<RunGroup> runs;
  std::vector<std::uint64_t> sums;  ///< of kCheckedBytes each, the last of the rest
  std::int64_t bytes() const { return elements * size_of(dtype); }
};

struct RankIndex {
  int rank = 0;
  std::int64_t step = 0, bytes = 0;  ///< steps done; size of the rank's file
  std::vector<PartEntry> parts;
};

struct RankFiles {
  std::string index, data;     ///< names in the checkpoint's folder
  std::uint64_t checksum = 0;  ///< of the whole index file
  std::int64_t bytes = 0;      ///< size of the data file
};

struct Manifest {
  RunPosition position;
  std::uint64_t seed = 0;
  std::string model_json;     ///< a Hugging Face config.json
  std::string training_json;  ///< hyper-parameters, for people
  std::vector<StoredTensor> tensors;
  std::vector<RankFiles> ranks;
};

/// XXH3, 64 bits: what every checksum here is.
std::uint64_t checksum(std::span<const std::byte> bytes);
std::uint64_t checksum(std::string_view text);

std::string to_json(const RankIndex& index);
std::string to_json(const Manifest& manifest);

/// Throw Error{kParse} naming the file for what is damaged, cut short, of another version, or contradicts itself
/// (runs beyond the tensor, parts beyond the file).
RankIndex parse_rank_index(std::string_view text, const std::string& file);
Manifest parse_manifest(std::string_view text, const std::string& file);

std::string rank_file(int rank, const char* extension);  ///< "rank-00003" + extension

}  // namespace shardscope
