#include "simulator/analytic/gpu_model.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace shardscope {
namespace {

/// A thread block's part of the result, and its rate over that of the largest tile.
struct Tile {
  double rows, columns, rate;
};
// Rates: fitted to 551 products of 25 us and more on an H100 (data/measured/h100_probe.csv), median error 2.6 %.
constexpr std::array<Tile, 5> kTiles{
    {{256, 128, 1.0}, {128, 256, 1.0}, {128, 128, 0.99}, {128, 64, 0.97}, {64, 64, 0.5}}};
// Keys at which attention reaches half of its rate, forward and backward; fitted to the same card's flash attention.
constexpr double kHalfKeysForward = 370, kHalfKeysBackward = 900;
constexpr double kWidthPower = 0.3;  // rate over head size; the same source: 0.17 (flash), 0.43 (cuDNN)

bool is_narrow(Arithmetic a) { return a == Arithmetic::kFp8 || a == Arithmetic::kFp4 || a == Arithmetic::kInt8; }

double bytes_of(Arithmetic a) {
  switch (a) {
    case Arithmetic::kFp64:
      return 8;
    case Arithmetic::kFp32:
    case Arithmetic::kTf32:
      return 4;
    case Arithmetic::kFp16:
    case Arithmetic::kBf16:
      return 2;
    case Arithmetic::kFp8:
    case Arithmetic::kInt8:
      return 1;
    case Arithmetic::kFp4:
      return 0.5;
  }
  return 2;
}

double sixth_power(double x) { return x * x * x * x * x * x; }

}  // namespace

GpuModel::GpuModel(const GpuSpec& gpu, const DeviceConstants& constants) : gpu_(gpu), constants_(constants) {}

double GpuModel::peak(Arithmetic a) const {
  for (const Arithmetic other : {a, Arithmetic::kBf16, Arithmetic::kFp16, Arithmetic::kFp32}) {
    const double value = gpu_.peak[static_cast<std::size_t>(other)].value;
    if (value > 0) return value;
  }
  return gpu_.vector_fp32.value;
}

double GpuModel::mfu_peak(Arithmetic a) const { return peak(is_narrow(a) ? Arithmetic::kBf16 : a); }

double GpuModel::matmul(double m, double n, double k, Arithmetic a, double batch) const {
  if (m <= 0 || n <= 0 || k <= 0) return 0;
  const double sms = std::max(1, gpu_.multiprocessors);
  const double rate = peak(a) * (is_narrow(a) ? constants_.fp8_efficiency : constants_.matmul_efficiency);
  double arithmetic = 1e30;
  for (const Tile& tile : kTiles) {
    const double waves = std::ceil(m / tile.rows) * std::ceil(n / tile.columns) * batch / sms;
    const double rounded =
        constants_.wave_rounding * std::ceil(waves) + (1 - constants_.wave_rounding) * std::max(waves, 1.0);
    const double one = 2 * tile.rows * tile.columns * (k + constants_.tile_overhead) * sms / (rate * tile.rate);
    arithmetic = std::min(arithmetic, rounded * one);
  }
  const double bytes = batch * ((m * k + k * n) * bytes_of(a) + m * n * std::max(2.0, bytes_of(a)));
  const double memory = bytes / (gpu_.memory_bandwidth.value * constants_.memory_efficiency);
  return kernel_s() + std::pow(sixth_power(arithmetic) + sixth_power(memory), 1.0 / 6);
}

double GpuModel::traffic(double bytes) const {
  return kernel_s() + bytes / (gpu_.memory_bandwidth.value * constants_.memory_efficiency);
}

/// Short sequences fill few blocks, small heads leave the tensor cores waiting for exponentials.
double GpuModel::flash(double flops, double rate, double length, double dim) const {
  const double width = std::min(1.0, std::pow(dim / 128, kWidthPower));
  return kernel_s() + flops / (peak(Arithmetic::kBf16) * rate * length * width);
}

double GpuModel::flash_forward_flops(double flops, double keys, double head_dim, bool vendor) const {
  const bool own = vendor && constants_.vendor_attention_efficiency > 0;
  const double rate = own ? constants_.vendor_attention_efficiency : constants_.attention_efficiency;
  return flash(flops, rate, keys / (keys + kHalfKeysForward), head_dim);
}

double GpuModel::flash_backward_flops(double flops, double keys, double head_dim, bool vendor) const {
  const bool own = vendor && constants_.vendor_attention_efficiency > 0;
  const double rate = own ? constants_.vendor_attention_efficiency * constants_.vendor_attention_backward
                          : constants_.attention_efficiency * constants_.attention_backward;
  return flash(flops, rate, keys / (keys + kHalfKeysBackward), head_dim);
}

double GpuModel::flash_forward(double sequences, double heads, double queries, double keys, double qk_dim, double v_dim,
                               double visible, bool vendor) const {
  return flash_forward_flops(2 * sequences * heads * queries * keys * (qk_dim + v_dim) * visible, keys, v_dim, vendor);
}

/// Five products in place of two.
double GpuModel::flash_backward(double sequences, double heads, double queries, double keys, double qk_dim,
                                double v_dim, double visible, bool vendor) const {
  return flash_backward_flops(2 * sequences * heads * queries * keys * (3 * qk_dim + 2 * v_dim) * visible, keys, v_dim,
                              vendor);
}

}  // namespace shardscope
