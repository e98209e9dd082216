// cluster.json of anybody: refused in one line, or a cluster of at least one rank.

#include "core/spec/cluster_spec.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  return fuzz_reader(data, size, [](std::string_view text) {
    if (parse_cluster(text, "cluster.json").ranks() < 1) fuzz_failed("a cluster without ranks", std::string(text));
  });
}
