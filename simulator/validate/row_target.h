#pragma once
// The hardware of a published run, from its columns gpu, gpus_per_node and interconnect.
//
//   RowTarget row = target_of(run, catalog);     // "A100-80GB", "1600 Gbps node-node RoCE"
//   row.target.system.nic_bandwidth              // 8 NICs of 25 GB/s

#include <string>
#include <vector>

#include "simulator/analytic/estimate.h"
#include "simulator/validate/published_runs.h"

namespace shardscope {

struct RowTarget {
  Target target;
  std::vector<std::string> assumed;
};

/// A blank interconnect is that of the GPU's usual system. A text may name a system ("DGX-H100"), a fabric ("AWS EFA",
/// "RoCE"), the line rate of a node ("800 Gbps") or of its NICs ("8x 200 Gb/s"). Throws Error{kConfig} for an unknown
/// GPU, with the nearest names.
RowTarget target_of(const PublishedRun&, const HardwareCatalog&);

}  // namespace shardscope
