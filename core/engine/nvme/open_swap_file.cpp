#include "core/engine/nvme/open_swap_file.h"

namespace shardscope {

std::string swap_folder(const Job& job) {
  for (const OffloadSpec* offload : {&job.training.zero.offload_optimizer, &job.training.zero.offload_param}) {
    if (offload->device == OffloadDevice::kNvme) return offload->nvme_path;
  }
  return "";
}

std::unique_ptr<NvmeFile> open_swap_file(const Job& job, const Program& program) {
  const std::int64_t bytes = program.arena_bytes[static_cast<std::size_t>(Space::kNvme)];
  if (bytes == 0) return nullptr;
  return std::make_unique<NvmeFile>(NvmeFileOptions{swap_folder(job), program.rank, bytes, job.training.aio});
}

}  // namespace shardscope
