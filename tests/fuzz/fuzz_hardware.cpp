// A hardware file of anybody, put over the catalog: refused in one line, or a catalog of which every system makes a
// cluster.

#include "core/spec/hardware.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shardscope;
  static const HardwareCatalog built_in = default_catalog();
  return fuzz_reader(data, size, [](std::string_view text) {
    HardwareCatalog catalog = built_in;
    overlay_text(catalog, text, "user.json");
    for (const SystemSpec& system : catalog.systems) {
      const ClusterSpec cluster = make_cluster(catalog, system, 1);
      const bool whole = cluster.ranks() == 1 && cluster.device.memory.value > 0 && cluster.pcie.bandwidth.value > 0;
      if (!whole) fuzz_failed("a system that makes no cluster", std::string(text));
    }
  });
}
