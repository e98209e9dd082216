#pragma once
// Other programs' names of collectives, element types and steps in our words.
//
//   collective_kind("_allgather_base") == "all_gather"      collective_kind("ncclDevKernel_AllReduce_Sum_f32_RING_LL")
//   dtype_size("BFloat16") == 2                             step_number("ProfilerStep#12") == 12

#include <cstdint>
#include <optional>
#include <string_view>

#include "profiler/capture/step_name.h"

namespace shardscope {

/// all_reduce, all_gather, reduce_scatter, all_to_all, broadcast, reduce, gather, scatter, send, recv, send_recv or
/// barrier; empty if it is none of them.
std::string_view collective_kind(std::string_view name);

/// The lane (op.lane) that one of our own programs would run it on.
std::string_view lane_of_collective(std::string_view kind);

/// Bytes of one element of PyTorch's, NCCL's or DeepSpeed's types; 0 if unknown.
std::int64_t dtype_size(std::string_view dtype);

/// What nccl-tests calls the size: of the larger side where the two differ.
std::int64_t collective_bytes(std::int64_t elements_in, std::int64_t elements_out, std::string_view dtype);

/// RING, TREE, ...; LL, LL128, SIMPLE: if a kernel's name says so, else empty.
std::string_view algorithm_in(std::string_view kernel);
std::string_view protocol_in(std::string_view kernel);

/// Is it a kernel of NCCL, or of AMD's RCCL?
bool is_nccl_kernel(std::string_view name);

/// Number of "rank3" or "rank_3" or "rank-3" in a file's name.
std::optional<std::int64_t> rank_in_name(std::string_view file);

}  // namespace shardscope
