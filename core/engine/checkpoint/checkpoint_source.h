#pragma once
// Reads a checkpoint folder of ours. Opening it reads the indexes and looks at the files' sizes; data is read by range
// and checked chunk by chunk (kCheckedBytes) as it is asked for.
//
//   CheckpointSource source("ckpt/step-20");   restore_state(program, memory, source);

#include <array>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/engine/checkpoint/checkpoint_format.h"
#include "core/engine/checkpoint/disk_file.h"
#include "core/engine/checkpoint/state_source.h"

namespace shardscope {

class CheckpointSource : public StateSource {
 public:
  /// Throws Error{kConfig} for what cannot be read, Error{kParse} for what is damaged, incomplete or cut short.
  explicit CheckpointSource(const std::string& folder);

  const std::string& path() const override { return folder_; }
  const std::vector<StoredTensor>& tensors() const override { return manifest_.tensors; }
  bool has_moments() const override { return has_moments_; }
  void read(std::size_t tensor, StateRole role, std::int64_t begin, std::span<float> out) override;
  const Manifest& manifest() const { return manifest_; }

 private:
  struct Part {
    std::size_t rank = 0;
    PartEntry entry;
  };
  struct Chunk {  // of a part's bytes, already checked
    const Part* part = nullptr;
    std::int64_t number = -1;
    std::vector<std::byte> bytes;
  };
  static constexpr std::size_t kRoles = 4;

  void open_rank(std::size_t rank, const std::unordered_map<std::string, std::size_t>& tensors);
  void check_complete();
  std::int64_t read_part(const Part& part, std::int64_t begin, std::span<float> out);
  void read_run(const Part& part, std::int64_t first, std::span<float> out);
  const Chunk& chunk(const Part& part, std::int64_t number);

  std::string folder_;
  Manifest manifest_;
  bool has_moments_ = false;
  std::vector<std::unique_ptr<DiskFile>> files_;              // by rank
  std::vector<std::array<std::vector<Part>, kRoles>> parts_;  // by tensor and role
  std::array<Chunk, 16> cache_;  // enough that the ranks of a tensor-parallel matrix do not push each other out
  std::size_t next_ = 0;         // the cache's oldest
};

}  // namespace shardscope
