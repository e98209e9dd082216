#pragma once
// Reads safetensors files of anybody. The header is believed only after it has been checked: names once, known types,
// sizes that fit shapes, tensors side by side without gap or overlap from the first to the last byte.
//
//   SafetensorsReader file("model.safetensors");
//   file.read(file.tensors()[0], 0, values);

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine/checkpoint/disk_file.h"
#include "core/program/types.h"

namespace shardscope {

/// A header longer than this is refused (a hundred thousand tensors take a third of it).
inline constexpr std::int64_t kMaxSafetensorsHeader = 32 << 20;

struct SafetensorsTensor {
  std::string name;
  std::optional<DType> dtype;  ///< nothing: a type that is no weight's here (U8, I64, BOOL, F8_E4M3, ...)
  std::string format;          ///< as the file names its type
  std::vector<std::int64_t> shape;
  std::int64_t offset = 0, bytes = 0;  ///< in the data, which follows the header
  std::int64_t elements() const;
};

/// The tensors in the order of their data. `data_bytes`: what follows the header. Throws Error{kParse} naming the file,
/// the tensor and what is wrong.
std::vector<SafetensorsTensor> parse_safetensors_header(std::string_view json, std::int64_t data_bytes,
                                                        const std::string& file);

class SafetensorsReader {
 public:
  /// Throws Error{kConfig} if the file cannot be read, Error{kParse} if it is no safetensors file or is cut short.
  explicit SafetensorsReader(const std::string& path);
  const std::string& path() const { return file_.path(); }
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }
  /// Elements [begin, begin + out.size()) as fp32. Throws Error{kUnsupported} for a type that is not floating.
  void read(const SafetensorsTensor& tensor, std::int64_t begin, std::span<float> out) const;

 private:
  DiskFile file_;
  std::int64_t data_ = 0;  // where the data starts
  std::vector<SafetensorsTensor> tensors_;
};

}  // namespace shardscope
