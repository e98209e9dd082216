// Ops whose kernels are still to come: a line goes when its .cu file has it. (Gone when all are there.)
#include "core/error.h"
#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

#define SS_NOT_YET(T) \
  void run(const T&, Kernel&) { throw Error(ErrorKind::kUnsupported, std::string(T::kName) + ": no CUDA kernel yet"); }

SS_NOT_YET(Fill)
SS_NOT_YET(Copy)
SS_NOT_YET(CopyRows)
SS_NOT_YET(Quantize)
SS_NOT_YET(Dequantize)
SS_NOT_YET(Embedding)
SS_NOT_YET(EmbeddingBackward)
SS_NOT_YET(LayerNorm)
SS_NOT_YET(LayerNormBackward)
SS_NOT_YET(RmsNorm)
SS_NOT_YET(RmsNormBackward)
SS_NOT_YET(MatMul)
SS_NOT_YET(MatMulInt8)
SS_NOT_YET(BiasGradient)
SS_NOT_YET(Activation)
SS_NOT_YET(ActivationBackward)
SS_NOT_YET(SwiGlu)
SS_NOT_YET(SwiGluBackward)
SS_NOT_YET(AppendCache)
SS_NOT_YET(CachedAttention)
SS_NOT_YET(LastRows)
SS_NOT_YET(Sample)
SS_NOT_YET(Route)
SS_NOT_YET(LoadBalance)
SS_NOT_YET(RouteBackward)
SS_NOT_YET(Dispatch)
SS_NOT_YET(Combine)
SS_NOT_YET(CombineBackward)
SS_NOT_YET(SumSquares)
SS_NOT_YET(ClipCoefficient)
SS_NOT_YET(Adam)

}  // namespace shardscope::cuda
