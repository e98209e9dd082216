#pragma once
// The few physical parameters that data sheets do not give: how close a device comes to its peaks, a fabric to its line
// rate, how long a framework's host takes to launch a kernel. One table, data/calibration/constants.csv, holds them all
// with unit and source; `shardscope validate --fit` finds those marked fitted. Nothing here is per model or per row.
//
//   Constants table = default_constants();
//   DeviceConstants h100 = device_constants(table, gpu);      // the architecture's rows, then those of the GPU itself

#include <string>
#include <string_view>
#include <vector>

#include "core/spec/hardware.h"

namespace shardscope {

/// One line of the table.
struct Constant {
  std::string scope, owner, name;  ///< "device", "hopper", "matmul_efficiency"
  double value = 0, low = 0, high = 0;
  double start = 0;          ///< what is believed before any fit: a fit is pulled towards it
  std::string unit, source;  ///< source: "fitted: ...", "guess", or where it was read
  bool fitted() const { return source.starts_with("fitted"); }
};
using Constants = std::vector<Constant>;

/// Throws Error{kParse} with file and line.
Constants parse_constants(std::string_view csv, const std::string& file_name);
const Constants& default_constants();
std::string constants_csv(const Constants&);

struct DeviceConstants {
  double matmul_efficiency = 0.7;     ///< of peak, largest tiles, long k
  double fp8_efficiency = 0.6;        ///< likewise in fp8 and below
  double tile_overhead = 128;         ///< start and end of a tile, in steps of k
  double wave_rounding = 0.5;         ///< 1: a part of a wave costs a whole one; 0: tiles flow
  double grouped_rate = 1;            ///< of products of several experts at once, over that of one as large
  double attention_efficiency = 0.5;  ///< of peak, FlashAttention-2 forward, head size 128, long sequences
  double attention_backward = 0.8;    ///< backward's efficiency over forward's
  double vendor_attention_efficiency =
      0;  ///< likewise of the vendor's own kernels (cuDNN, FlashAttention-3); 0: none better
  double vendor_attention_backward = 0.75;
  double memory_efficiency = 0.8;  ///< of bandwidth, element-wise kernels
  double kernel_us = 2.5;          ///< shortest kernel, with the gap after it
  double interference = 0.1;       ///< compute slows by this part while collectives run beside it
  double link_efficiency = 0.8;    ///< of the scale-up link's one-way rate, large messages
  double pcie_efficiency = 0.86;   ///< of PCIe's one-way rate, large copies
  double link_latency_us = 8;      ///< of a collective inside a node
  double link_hop_us = 1;          ///< and for each further rank
};

struct FabricConstants {
  double efficiency = 0.8;  ///< of the NICs' line rate, large messages
  double latency_us = 15;   ///< of a collective over nodes
  double hop_us = 3;        ///< and for each further node
  double rank_us = 0;       ///< and for each further rank of a ring that leaves its node
  double half_mib = 1;      ///< message per rank at which half of the rate is reached, MiB
};

struct FrameworkConstants {
  double host_us = 5;           ///< to launch one kernel
  double traffic = 1;           ///< element-wise bytes moved, over those of well-fused kernels
  double overlap = 0.9;         ///< part of compute that gradient collectives can hide behind
  double fixed_ms = 5;          ///< once a step
  double micro_batch_ms = 0;    ///< once a micro-batch: data loading, schedule, synchronisation
  double collective_us = 10;    ///< host and stream synchronisation of each exposed collective
  double attention = 1;         ///< rate of its attention kernels, over that of the best of their kind
  double interference = 1;      ///< part of the device's interference that shows
  double pipeline_rank_us = 0;  ///< in a pipeline: a tensor-parallel collective's host time for each of its ranks
  double host_update_ns = 0;    ///< of one rank's update on the host, per element, if its passes are few threads' work
  double tensor_overlap = 0.5;  ///< part of tensor-parallel traffic hidden, where the framework overlaps it
  double fragmentation = 0.04;  ///< reserved over allocated, less 1
};

/// Whose constants an architecture has where it has none of its own: "blackwell" of "blackwell-ultra".
std::string_view family_of(std::string_view architecture);

DeviceConstants device_constants(const Constants&, const GpuSpec&);
FabricConstants fabric_constants(const Constants&, std::string_view fabric);
FrameworkConstants framework_constants(const Constants&, std::string_view framework);

/// The table's rows behind those three: of each name the most special one.
Constants constants_in_use(const Constants&, const GpuSpec&, std::string_view fabric, std::string_view framework);

}  // namespace shardscope
