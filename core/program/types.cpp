#include "core/program/types.h"

#include <array>

#include "core/check.h"

namespace shardscope {
namespace {

// The names of each enum, in the order of its enumerators.
template <class E>
struct Names;
template <>
struct Names<DType> {
  static constexpr std::array<std::string_view, kDTypes> kAll{"f32", "bf16", "f16", "f64", "i32", "i8"};
};
template <>
struct Names<Space> {
  static constexpr std::array<std::string_view, kSpaces> kAll{"device", "pinned", "host", "nvme"};
};
template <>
struct Names<Category> {
  static constexpr std::array<std::string_view, kCategories> kAll{
      "parameter", "master", "gradient", "optimizer", "activation", "bucket", "workspace", "batch", "cache", "other"};
};
template <>
struct Names<Lane> {
  static constexpr std::array<std::string_view, kLanes> kAll{
      "compute",   "gather",  "reduce", "tensor", "send_next", "recv_previous", "send_previous",
      "recv_next", "context", "h2d",    "d2h",    "nvme_read", "nvme_write",    "host"};
};
template <>
struct Names<Phase> {
  static constexpr std::array<std::string_view, kPhases> kAll{"load", "forward", "recompute", "backward", "optimizer"};
};
template <>
struct Names<ReduceOp> {
  static constexpr std::array<std::string_view, 2> kAll{"sum", "max"};
};
template <>
struct Names<ActivationKind> {
  static constexpr std::array<std::string_view, 4> kAll{"gelu_tanh", "gelu_erf", "relu", "silu"};
};
template <>
struct Names<Fp8> {
  static constexpr std::array<std::string_view, 3> kAll{"none", "e4m3", "e5m2"};
};

template <class E>
std::string_view name_of(E value) {
  const auto index = static_cast<std::size_t>(value);
  SS_CHECK(index < Names<E>::kAll.size(), index);
  return Names<E>::kAll[index];
}

}  // namespace

std::int64_t size_of(DType dtype) {
  static constexpr std::array<std::int64_t, kDTypes> kSizes{4, 2, 2, 8, 4, 1};
  return kSizes[static_cast<std::size_t>(dtype)];
}

std::string_view to_string(DType v) { return name_of(v); }
std::string_view to_string(Space v) { return name_of(v); }
std::string_view to_string(Category v) { return name_of(v); }
std::string_view to_string(Lane v) { return name_of(v); }
std::string_view to_string(Phase v) { return name_of(v); }
std::string_view to_string(ReduceOp v) { return name_of(v); }
std::string_view to_string(ActivationKind v) { return name_of(v); }
std::string_view to_string(Fp8 v) { return name_of(v); }

template <class E>
std::optional<E> from_name(std::string_view name) {
  for (std::size_t i = 0; i < Names<E>::kAll.size(); ++i) {
    if (Names<E>::kAll[i] == name) return static_cast<E>(i);
  }
  return std::nullopt;
}

template std::optional<DType> from_name<DType>(std::string_view);
template std::optional<Space> from_name<Space>(std::string_view);
template std::optional<Category> from_name<Category>(std::string_view);
template std::optional<Lane> from_name<Lane>(std::string_view);
template std::optional<Phase> from_name<Phase>(std::string_view);
template std::optional<ReduceOp> from_name<ReduceOp>(std::string_view);
template std::optional<ActivationKind> from_name<ActivationKind>(std::string_view);
template std::optional<Fp8> from_name<Fp8>(std::string_view);

}  // namespace shardscope
