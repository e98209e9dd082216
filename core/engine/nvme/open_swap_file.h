#pragma once
// The swap file of one rank of a job.
//
//   const std::unique_ptr<NvmeFile> nvme = open_swap_file(job, program);
//   Arena arena(program, backend, {.nvme = nvme.get()});

#include <memory>

#include "core/engine/nvme/nvme_file.h"
#include "core/program/program.h"
#include "core/spec/job.h"

namespace shardscope {

/// In the folder that the job's offload blocks name, as large as the program's nvme space. Null if the program has
/// nothing there. Throws as NvmeFile does.
std::unique_ptr<NvmeFile> open_swap_file(const Job& job, const Program& program);

/// The folder: nvme_path of offload_optimizer or, if that is not on the drive, of offload_param. Empty: neither is.
std::string swap_folder(const Job& job);

}  // namespace shardscope
