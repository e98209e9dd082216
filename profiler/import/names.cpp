#include "profiler/import/names.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <utility>

namespace shardscope {
namespace {

/// Letters only, in lower case.
std::string letters_of(std::string_view name) {
  std::string out;
  for (char c : name) {
    if (c >= 'A' && c <= 'Z') out += static_cast<char>(c - 'A' + 'a');
    if (c >= 'a' && c <= 'z') out += c;
  }
  return out;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

std::string_view collective_kind(std::string_view name) {
  const std::string letters = letters_of(name.substr(0, std::min<std::size_t>(name.size(), 200)));
  // Longer names first: reduce_scatter is not a scatter, and NCCL's SendRecv is both.
  static constexpr std::pair<std::string_view, std::string_view> kKinds[] = {{"reducescatter", "reduce_scatter"},
                                                                             {"allreduce", "all_reduce"},
                                                                             {"allgather", "all_gather"},
                                                                             {"alltoall", "all_to_all"},
                                                                             {"sendrecv", "send_recv"},
                                                                             {"broadcast", "broadcast"},
                                                                             {"barrier", "barrier"},
                                                                             {"gather", "gather"},
                                                                             {"scatter", "scatter"},
                                                                             {"reduce", "reduce"},
                                                                             {"send", "send"},
                                                                             {"recv", "recv"}};
  for (const auto& [part, kind] : kKinds) {
    if (contains(letters, part)) return kind;
  }
  return {};
}

std::string_view lane_of_collective(std::string_view kind) {
  if (kind == "all_gather" || kind == "broadcast" || kind == "gather" || kind == "scatter") return "gather";
  if (kind == "all_to_all") return "context";
  if (kind == "send") return "send_next";
  if (kind == "recv" || kind == "send_recv") return "recv_previous";
  return "reduce";
}

std::int64_t dtype_size(std::string_view dtype) {
  const auto at = dtype.rfind('.');  // torch.float16
  if (at != std::string_view::npos) dtype.remove_prefix(at + 1);
  std::string lower;
  for (char c : dtype.substr(0, 40)) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (lower.starts_with("nccl")) lower.erase(0, 4);
  static constexpr std::pair<std::string_view, std::int64_t> kSizes[] = {
      {"float", 4},  {"float32", 4},      {"half", 2},      {"float16", 2},        {"bfloat16", 2},
      {"double", 8}, {"float64", 8},      {"long", 8},      {"int64", 8},          {"int", 4},
      {"int32", 4},  {"short", 2},        {"int16", 2},     {"char", 1},           {"int8", 1},
      {"byte", 1},   {"uint8", 1},        {"bool", 1},      {"uint16", 2},         {"uint32", 4},
      {"uint64", 8}, {"complexfloat", 8}, {"complex64", 8}, {"complexdouble", 16}, {"complex128", 16}};
  for (const auto& [name, size] : kSizes) {
    if (lower == name) return size;
  }
  return lower.starts_with("float8") || lower.starts_with("fp8") ? 1 : 0;
}

std::int64_t collective_bytes(std::int64_t elements_in, std::int64_t elements_out, std::string_view dtype) {
  constexpr std::int64_t kMost = INT64_MAX / 32;
  const std::int64_t elements = std::max({elements_in, elements_out, std::int64_t{0}});
  return elements > kMost ? 0 : elements * dtype_size(dtype);
}

std::string_view algorithm_in(std::string_view kernel) {
  for (std::string_view name : {"COLLNET_DIRECT", "COLLNET_CHAIN", "NVLS_TREE", "NVLS", "RING", "TREE", "PAT"}) {
    if (contains(kernel, name)) return name;
  }
  return {};
}

std::string_view protocol_in(std::string_view kernel) {
  for (std::string_view name : {"LL128", "SIMPLE", "_LL"}) {
    if (contains(kernel, name)) return name == "_LL" ? "LL" : name;
  }
  return {};
}

bool is_nccl_kernel(std::string_view name) {
  for (std::string_view before : {"void ", "__global__ "}) {
    if (name.starts_with(before)) name.remove_prefix(before.size());
  }
  return name.starts_with("nccl") || name.starts_with("rccl") || name.starts_with("msccl");
}

std::optional<std::int64_t> rank_in_name(std::string_view file) {
  for (std::size_t at = 0; (at = file.find("rank", at)) != std::string_view::npos;) {
    at += 4;
    if (at < file.size() && (file[at] == '_' || file[at] == '-')) ++at;
    const std::size_t end = std::min(file.find_first_not_of("0123456789", at), file.size());
    if (end > at && end - at < 8) return std::stoll(std::string(file.substr(at, end - at)));
  }
  return std::nullopt;
}

}  // namespace shardscope
