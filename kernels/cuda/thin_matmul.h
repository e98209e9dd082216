#pragma once
// Products of a few rows with int8 weights, as decoding has them: bound by the bytes of the weights, which are read
// once and widened in registers.
//
//   if (fits_thin(op)) return run_thin(op, kernel);

#include "kernels/cuda/kernel.h"

namespace shardscope::cuda {

bool fits_thin(const MatMulInt8& op);
void run_thin(const MatMulInt8& op, Kernel& kernel);

}  // namespace shardscope::cuda
