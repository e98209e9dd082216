#pragma once
// State that lies in ranges of several files, each of plain elements: what DeepSpeed's checkpoints are once their
// pickles have been read.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/engine/checkpoint/disk_file.h"
#include "core/engine/checkpoint/state_source.h"

namespace shardscope {

/// Elements [whole, whole + count) of a tensor, side by side from byte `offset` of a file.
struct FileRange {
  std::size_t file = 0;  ///< index into RangeSource::files
  DType dtype = DType::kF32;
  std::int64_t offset = 0, whole = 0, count = 0;
};

class RangeSource : public StateSource {
 public:
  explicit RangeSource(std::string path) : path_(std::move(path)) {}

  std::size_t add_file(const std::string& path);
  std::size_t add_tensor(const std::string& name, std::vector<std::int64_t> shape);
  void add_range(std::size_t tensor, StateRole role, FileRange range);
  /// Throws Error{kParse} naming the first tensor of which something is missing. Moments count if any range has them.
  void check_complete();

  const std::string& path() const override { return path_; }
  const std::vector<StoredTensor>& tensors() const override { return tensors_; }
  bool has_moments() const override { return has_moments_; }
  void read(std::size_t tensor, StateRole role, std::int64_t begin, std::span<float> out) override;

 private:
  const DiskFile& file(std::size_t index);
  std::string path_;
  std::vector<std::string> files_;
  std::map<std::size_t, std::unique_ptr<DiskFile>> open_;  // a few at a time: there may be thousands
  std::vector<StoredTensor> tensors_;
  std::vector<std::array<std::vector<FileRange>, 4>> ranges_;  // by tensor and role, rising
  bool has_moments_ = false;
};

}  // namespace shardscope
