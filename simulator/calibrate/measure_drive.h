#pragma once
// Measures the drive that a folder lies on, as a run would use it: through a rank's swap file (core/engine/nvme), with
// DeepSpeed's default requests.
//
//   machine.drive = measure_drive("/mnt/nvme", 256 << 20, *backend);

#include <cstdint>
#include <string>

#include "core/engine/backend.h"
#include "simulator/machine.h"

namespace shardscope {

/// Reads and writes, from and to the backend's pinned memory, of rising size up to half of `file_bytes`, each the
/// median of a few; then both at once. Throws Error{kConfig, kIo} as NvmeFile does.
Drive measure_drive(const std::string& folder, std::int64_t file_bytes, Backend& backend);

}  // namespace shardscope
