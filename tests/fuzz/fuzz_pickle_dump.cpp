// A pickle that says it is a dump of PyTorch's: a memory snapshot or a flight recorder's, whichever it begins as.

#include "tests/fuzz/fuzz_import.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return shardscope::fuzz_import(data, size, "dump_rank_1");
}
