#pragma once
// The pieces of the injected library that know of each other. What NVTX, NCCL and the CUDA driver call is exported by
// name from nvtx_handlers.cpp, nccl_plugin.cpp and inject.cpp.

namespace shardscope::capture {

class Spool;

/// One thread a process, started when CUDA or NCCL shows up: flushes CUPTI and follows what the reader switches.
void start_keeper();

/// Makes NCCL ask for what is switched on now, after SpoolHeader::enabled changed.
void refresh_nccl_mask();

/// After a change of SpoolHeader::enabled in this process: CUPTI is switched on before it returns. To switch it off is
/// left to the keeper: what was launched still runs.
void sources_changed(Spool& spool);

}  // namespace shardscope::capture
