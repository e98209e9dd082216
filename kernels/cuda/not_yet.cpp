// Ops whose kernels are still to come: a line goes when its .cu file has it. (Gone when all are there.)
#include "core/error.h"
#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

#define SS_NOT_YET(T) \
  void run(const T&, Kernel&) { throw Error(ErrorKind::kUnsupported, std::string(T::kName) + ": no CUDA kernel yet"); }

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

}  // namespace shardscope::cuda
