#pragma once
// How long one kernel takes on a GPU: matrix products by tiles and waves, attention, and kernels bound by memory.
//
//   GpuModel gpu(spec, device_constants(default_constants(), spec));
//   double s = gpu.matmul(8192, 12288, 4096, Arithmetic::kBf16);
//
// Formula of a product: kernel_us + (Tc^6 + Tm^6)^(1/6), Tm bytes over bandwidth, Tc the least over tiles (a, b) of
//   W(w) 2ab (k + k0) SMs / (peak e r_ab), w = ceil(m/a) ceil(n/b) batch / SMs, W(w) = x ceil(w) + (1 - x) max(w, 1).
// Units: FLOP, bytes, seconds. Source: the form was fitted to public tables of measured products on A100, H100, H200
// and B200 (docs/validation.md); e, k0, x are constants of the architecture.

#include <cstdint>

#include "simulator/analytic/constants.h"

namespace shardscope {

class GpuModel {
 public:
  GpuModel(const GpuSpec& gpu, const DeviceConstants& constants);

  /// m x k times k x n, `batch` times in one kernel. Operands of fp8 and fp4 are read in that type, written in bf16.
  double matmul(double m, double n, double k, Arithmetic, double batch = 1) const;

  /// One kernel that reads and writes so many bytes.
  double traffic(double bytes) const;

  /// Flash attention (`vendor`: by the vendor's own kernels) of `sequences` x `heads`, `queries` x `keys` each; halved
  /// where the mask hides half of it.
  double flash_forward(double sequences, double heads, double queries, double keys, double qk_dim, double v_dim,
                       double visible, bool vendor = false) const;
  double flash_backward(double sequences, double heads, double queries, double keys, double qk_dim, double v_dim,
                        double visible, bool vendor = false) const;

  /// The same by the FLOPs of the pairs that are visible.
  double flash_forward_flops(double flops, double keys, double head_dim, bool vendor = false) const;
  double flash_backward_flops(double flops, double keys, double head_dim, bool vendor = false) const;

  double kernel_s() const { return constants_.kernel_us * 1e-6; }
  const GpuSpec& spec() const { return gpu_; }
  const DeviceConstants& constants() const { return constants_; }
  double peak(Arithmetic) const;      ///< FLOP/s; of bf16 or fp16 where the device lacks the type
  double mfu_peak(Arithmetic) const;  ///< what MFU is a part of: with fp8 and fp4 products, too, the rate of bf16

 private:
  double flash(double flops, double rate, double length, double dim) const;

  GpuSpec gpu_;
  DeviceConstants constants_;
};

}  // namespace shardscope
