#include "profiler/query/work_family.h"

#include <array>
#include <cctype>
#include <string>

namespace shardscope {
namespace {

struct Words {
  WorkFamily family;
  std::array<std::string_view, 16> any;  ///< parts of names in lower case; empty ones are not looked for
};

/// In this order: flash attention is built of CUTLASS, whose name means a product elsewhere.
constexpr Words kWords[] = {
    {WorkFamily::kAttention, {"flash", "fmha", "attention", "sdpa", "mha_"}},
    {WorkFamily::kLoss, {"cross_entropy", "nll_loss", "logsoftmax", "log_softmax", "crossentropy"}},
    {WorkFamily::kAttention, {"softmax"}},
    {WorkFamily::kLayout,
     {"nchwtonhwc", "nhwctonchw", "transpose", "permute", "catarray", "im2col", "tensor_layout", "contiguous"}},
    {WorkFamily::kNorm,
     {"layer_norm", "layernorm", "rms_norm", "rmsnorm", "batch_norm", "bn_fw", "bn_bw", "group_norm", "groupnorm",
      "batchnorm"}},
    {WorkFamily::kEmbedding, {"embedding", "indexselect", "index_select"}},
    // Not "lamb": kernels of C++ lambdas say {lambda()#1}.
    {WorkFamily::kOptimizer, {"adam", "lamb_", "lambstage", "sgd", "sum_squares", "clip_coefficient"}},
    {WorkFamily::kMatmul,
     {"gemm", "matmul", "cutlass", "cublas", "xmma", "nvjet", "gemv", "splitkreduce", "cijk_", "convolution", "wgrad",
      "dgrad", "fprop", "conv2d", "scudnn", "implicit"}},
};

}  // namespace

std::string_view to_string(WorkFamily family) {
  constexpr std::array<std::string_view, kWorkFamilies> kNames = {
      "matrix products", "attention",           "norms",       "embeddings", "loss",       "optimizer",
      "layout changes",  "element-wise, other", "collectives", "copies",     "CUDA graphs"};
  return kNames[static_cast<std::size_t>(family)];
}

WorkFamily work_family(std::string_view kind, std::string_view name) {
  if (kind == "graph") return WorkFamily::kOpaque;
  if (kind == "copy" || kind == "memset" || kind.starts_with("nvme")) return WorkFamily::kCopy;
  std::string text(kind == "kernel" ? name : kind);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const Words& words : kWords) {
    for (std::string_view word : words.any)
      if (!word.empty() && text.find(word) != std::string::npos) return words.family;
  }
  return WorkFamily::kElementwise;
}

}  // namespace shardscope
