// What the terms of an estimate are called.

#include "simulator/analytic/plan.h"

namespace shardscope {
namespace {

constexpr std::array<std::string_view, kTimeTerms> kTimeNames{"matmul", "attention", "elements", "host", "recompute",
                                                              "tensor", "context",   "experts",  "data", "pipeline",
                                                              "bubble", "optimizer", "offload",  "fixed"};
constexpr std::array<std::string_view, kMemoryTerms> kMemoryNames{
    "parameters", "gradients", "optimizer", "activations", "recomputed",  "logits",
    "gathered",   "buckets",   "workspace", "context",     "collectives", "fragmentation"};

constexpr std::array<std::string_view, kTimeTerms> kTimeTitles{"matrix products",
                                                               "attention",
                                                               "element-wise kernels",
                                                               "launching kernels",
                                                               "computing again",
                                                               "tensor parallelism",
                                                               "context parallelism",
                                                               "experts' exchange",
                                                               "data parallelism",
                                                               "messages between stages",
                                                               "pipeline bubble",
                                                               "optimizer",
                                                               "offload",
                                                               "fixed cost"};
constexpr std::array<std::string_view, kMemoryTerms> kMemoryTitles{
    "parameters",          "gradients", "optimizer state", "activations",  "computed again", "logits",
    "gathered parameters", "buckets",   "workspace",       "CUDA context", "NCCL",           "fragmentation"};

}  // namespace

std::string_view to_string(TimeTerm t) { return kTimeNames[static_cast<std::size_t>(t)]; }
std::string_view to_string(MemoryTerm t) { return kMemoryNames[static_cast<std::size_t>(t)]; }
std::string_view title_of(TimeTerm t) { return kTimeTitles[static_cast<std::size_t>(t)]; }
std::string_view title_of(MemoryTerm t) { return kMemoryTitles[static_cast<std::size_t>(t)]; }

}  // namespace shardscope
