// The header of a safetensors file of anybody: refused in one line, or tensors side by side within the data.

#include "core/engine/safetensors_reader.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  constexpr std::int64_t kDataBytes = 64;
  return fuzz_reader(data, size, [](std::string_view text) {
    std::int64_t end = 0;
    for (const SafetensorsTensor& tensor : parse_safetensors_header(text, kDataBytes, "w.safetensors")) {
      if (tensor.offset != end) fuzz_failed("tensors do not lie side by side", tensor.name);
      end += tensor.bytes;
    }
    if (end != kDataBytes) fuzz_failed("tensors do not cover the data", std::to_string(end));
  });
}
