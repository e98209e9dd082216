// An execution trace of PyTorch from anybody.

#include "tests/fuzz/fuzz_import.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return shardscope::fuzz_import(data, size, "et.json");
}
