#pragma once
// Writes tensors in the safetensors format (8 bytes length, JSON header, raw little-endian data), one after another, so
// that a model larger than memory can pass through: initial weights and batches for other frameworks to train on.
//
//   SafetensorsWriter file("w.safetensors", {{"wte.weight", DType::kF32, {50257, 768}}});
//   file.append(values);  ...  file.finish();

#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/program/types.h"

namespace shardscope {

struct TensorEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  std::int64_t bytes() const;
};

class SafetensorsWriter {
 public:
  /// The tensors, in the order in which their data will come; `metadata` is for other readers. Throws Error{kIo}.
  SafetensorsWriter(const std::string& path, const std::vector<TensorEntry>& tensors,
                    const std::map<std::string, std::string>& metadata = {});
  /// The next bytes of the data. Throws Error{kIo} if the disk is full.
  void append(std::span<const std::byte> data);
  template <class T>
  void append(std::span<const T> values) {
    append(std::as_bytes(values));
  }
  /// Checks that all data came (SS_CHECK) and closes the file. Throws Error{kIo}.
  void finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  [[noreturn]] void fail() const;

  std::string path_;
  std::unique_ptr<std::FILE, Close> file_;
  std::int64_t left_ = 0;  // bytes of data still to come
};

}  // namespace shardscope
