#pragma once
// A file that torch.save wrote: a pickle whose tensors say where in the file their elements lie.
//
//   TorchFile file("zero_pp_rank_0_mp_rank_00_optim_states.pt");
//   TorchTensor flat = file.tensor(file.root()["optimizer_state_dict"]["fp32_flat_groups"][0], "fp32_flat_groups[0]");

#include <cstdint>
#include <string>
#include <vector>

#include "core/engine/checkpoint/deepspeed/pickle.h"
#include "core/engine/checkpoint/deepspeed/zip_archive.h"
#include "core/program/types.h"

namespace shardscope {

/// Where a tensor's elements are: side by side from byte `offset` of the file.
struct TorchTensor {
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0;
  std::int64_t elements() const;
};

class TorchFile {
 public:
  /// Reads the archive's directory and its pickle. Throws what ZipArchive and parse_pickle throw.
  explicit TorchFile(const std::string& path);
  const std::string& path() const { return zip_.file().path(); }
  const ZipArchive& zip() const { return zip_; }
  PickleValue root() const { return pickle_.root(); }

  static bool is_tensor(PickleValue value);
  /// `what` names it in messages. Throws Error{kParse}: no tensor, or one that lies beyond its storage or the file;
  /// Error{kUnsupported}: not side by side, or of a type that is not floating.
  TorchTensor tensor(PickleValue value, const std::string& what) const;
  /// A number, or a floating tensor of one element (torch's optimizers count steps in both).
  double number(PickleValue value, const std::string& what) const;
  [[noreturn]] void fail(const std::string& what) const;

 private:
  ZipArchive zip_;
  std::string folder_;  // in the archive, with its slash
  Pickle pickle_;
};

/// The numbers of a torch.Size, or of a tuple. Empty if it is neither.
std::vector<std::int64_t> torch_size(PickleValue value);

}  // namespace shardscope
