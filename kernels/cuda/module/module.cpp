#include "kernels/cuda/module/module.h"

extern "C" const shardscope::CudaModule* shardscope_cuda_module() {
  static const shardscope::CudaModule module{shardscope::cuda_module_build(), shardscope::make_cuda_backend,
                                             shardscope::cuda_devices};
  return &module;
}
