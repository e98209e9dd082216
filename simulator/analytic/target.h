#pragma once
// Where an estimate is for: a system of the hardware catalog, or a cluster as a file describes it.
//
//   Target target = target_of(default_catalog(), "dgx-h100");

#include <string_view>

#include "core/spec/hardware.h"

namespace shardscope {

struct Target {
  GpuSpec gpu;
  SystemSpec system;
  FabricSpec fabric;
};

Target target_of(const HardwareCatalog& catalog, const SystemSpec& system);
Target target_of(const HardwareCatalog& catalog, std::string_view system);  ///< Error{kConfig} has the nearest names

/// A cluster file says less than the catalog: the architecture is then unknown, the constants are those of any device,
/// and its multiprocessors those of an A100.
Target target_of(const ClusterSpec& cluster);

}  // namespace shardscope
