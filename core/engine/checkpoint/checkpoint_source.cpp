#include "core/engine/checkpoint/checkpoint_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/engine/float_convert.h"
#include "core/error.h"
#include "core/spec/json_tree.h"

namespace shardscope {
namespace {

std::size_t at(StateRole role) { return static_cast<std::size_t>(role); }

bool within(const RunGroup& run, std::int64_t elements) {
  return run.begin + (run.times - 1) * run.stride + run.length <= elements;  // bounded by the format's reader
}

}  // namespace

CheckpointSource::CheckpointSource(const std::string& folder) : folder_(folder) {
  const std::string manifest = join_path(folder, kManifestFile);
  manifest_ = parse_manifest(read_text_file(manifest), manifest);
  std::unordered_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < manifest_.tensors.size(); ++i) index.emplace(manifest_.tensors[i].name, i);
  parts_.resize(manifest_.tensors.size());
  for (std::size_t rank = 0; rank < manifest_.ranks.size(); ++rank) open_rank(rank, index);
  check_complete();
}

void CheckpointSource::open_rank(std::size_t rank, const std::unordered_map<std::string, std::size_t>& tensors) {
  const RankFiles& files = manifest_.ranks[rank];
  const std::string index_path = join_path(folder_, files.index);
  const std::string text = read_text_file(index_path);
  if (checksum(text) != files.checksum) {
    throw Error(ErrorKind::kParse,
                fmt::format("{}: is damaged, or of another checkpoint: {} has another checksum of it", index_path,
                            kManifestFile));
  }
  RankIndex index = parse_rank_index(text, index_path);
  files_.push_back(std::make_unique<DiskFile>(DiskFile::open(join_path(folder_, files.data))));
  const std::int64_t size = files_.back()->size();
  if (size != files.bytes || index.bytes != files.bytes) {
    throw Error(ErrorKind::kParse, fmt::format("{}: is {} bytes long, and must be {}: it is cut short or damaged",
                                               files_.back()->path(), size, files.bytes));
  }
  for (PartEntry& part : index.parts) {
    const auto tensor = tensors.find(part.tensor);
    const bool known =
        tensor != tensors.end() && std::all_of(part.runs.begin(), part.runs.end(), [&](const RunGroup& run) {
          return within(run, manifest_.tensors[tensor->second].elements());
        });
    if (!known) {
      throw Error(ErrorKind::kParse, fmt::format("{}: tensor {} is not in {}, or is smaller there", index_path,
                                                 part.tensor, kManifestFile));
    }
    const StateRole role = part.role;
    has_moments_ = has_moments_ || role != StateRole::kParameter;
    parts_[tensor->second][at(role)].push_back({rank, std::move(part)});
  }
}

void CheckpointSource::check_complete() {
  for (std::size_t tensor = 0; tensor < parts_.size(); ++tensor) {
    for (const StateRole role : {StateRole::kParameter, StateRole::kExpAvg, StateRole::kExpAvgSq}) {
      if (role != StateRole::kParameter && !has_moments_) continue;
      std::int64_t elements = 0;
      for (const Part& part : parts_[tensor][at(role)]) elements += part.entry.elements;
      const StoredTensor& stored = manifest_.tensors[tensor];
      if (elements != stored.elements()) {
        throw Error(ErrorKind::kParse, fmt::format("{}: has {} of the {} elements of tensor {}, {}: it is incomplete",
                                                   folder_, elements, stored.elements(), stored.name, to_string(role)));
      }
    }
  }
}

void CheckpointSource::read(std::size_t tensor, StateRole role, std::int64_t begin, std::span<float> out) {
  const StoredTensor& stored = manifest_.tensors.at(tensor);
  SS_CHECK(begin >= 0 && begin + static_cast<std::int64_t>(out.size()) <= stored.elements(), stored.name, begin);
  std::int64_t found = 0;
  for (const Part& part : parts_[tensor][at(role)]) found += read_part(part, begin, out);
  if (found == static_cast<std::int64_t>(out.size())) return;
  throw Error(ErrorKind::kParse,
              fmt::format("{}: elements {} to {} of tensor {}, {}, are not in it exactly once", folder_, begin,
                          begin + static_cast<std::int64_t>(out.size()), stored.name, to_string(role)));
}

/// Puts what the part has of [begin, begin + out.size()) into its place; the number of elements.
std::int64_t CheckpointSource::read_part(const Part& part, std::int64_t begin, std::span<float> out) {
  const std::int64_t end = begin + static_cast<std::int64_t>(out.size());
  std::int64_t found = 0, first = 0;  // `first`: the part's element at which the group starts
  for (const RunGroup& group : part.entry.runs) {
    const std::int64_t stride = std::max<std::int64_t>(group.stride, 1);
    std::int64_t i = begin >= group.begin + group.length ? (begin - group.begin - group.length) / stride + 1 : 0;
    for (; i < group.times && group.begin + i * group.stride < end; ++i) {
      const std::int64_t start = group.begin + i * group.stride;
      const std::int64_t from = std::max(start, begin), to = std::min(start + group.length, end);
      if (from >= to) continue;
      read_run(part, first + i * group.length + (from - start),
               out.subspan(static_cast<std::size_t>(from - begin), static_cast<std::size_t>(to - from)));
      found += to - from;
    }
    first += group.elements();
  }
  return found;
}

/// The part's elements [first, first + out.size()), from as many chunks as they lie in.
void CheckpointSource::read_run(const Part& part, std::int64_t first, std::span<float> out) {
  const std::int64_t size = size_of(part.entry.dtype), per_chunk = kCheckedBytes / size;
  while (!out.empty()) {
    const std::int64_t inside = first % per_chunk;
    const auto n = std::min(out.size(), static_cast<std::size_t>(per_chunk - inside));
    to_floats(chunk(part, first / per_chunk).bytes.data() + inside * size, part.entry.dtype, out.first(n));
    out = out.subspan(n);
    first += static_cast<std::int64_t>(n);
  }
}

const CheckpointSource::Chunk& CheckpointSource::chunk(const Part& part, std::int64_t number) {
  for (const Chunk& known : cache_) {
    if (known.part == &part && known.number == number) return known;
  }
  Chunk& chunk = cache_[next_];
  next_ = (next_ + 1) % cache_.size();
  chunk.part = nullptr;  // what follows may throw
  const std::int64_t begin = number * kCheckedBytes, bytes = std::min(kCheckedBytes, part.entry.bytes() - begin);
  chunk.bytes.resize(static_cast<std::size_t>(bytes));
  const DiskFile& file = *files_[part.rank];
  file.read(part.entry.offset + begin, chunk.bytes);
  if (checksum(chunk.bytes) != part.entry.sums[static_cast<std::size_t>(number)]) {
    throw Error(ErrorKind::kParse,
                fmt::format("{}: is damaged: bytes {} to {} (tensor {}, {}) do not have the checksum in the index",
                            file.path(), part.entry.offset + begin, part.entry.offset + begin + bytes,
                            part.entry.tensor, to_string(part.entry.role)));
  }
  chunk.part = &part;
  chunk.number = number;
  return chunk;
}

}  // namespace shardscope
