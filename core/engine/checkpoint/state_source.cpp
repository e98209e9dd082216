#include "core/engine/checkpoint/state_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "core/check.h"
#include "core/engine/initialize.h"
#include "core/error.h"

namespace shardscope {
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

std::unordered_map<std::string, std::size_t> index_by_name(const StateSource& source) {
  std::unordered_map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < source.tensors().size(); ++i) index.emplace(source.tensors()[i].name, i);
  return index;
}

/// "a, b, c and 5 more".
std::string name_some(const std::vector<std::string>& names) {
  const std::size_t shown = std::min<std::size_t>(names.size(), 4);
  std::string text =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

}  // namespace

std::int64_t StoredTensor::elements() const {
  std::int64_t n = 1;
  for (const std::int64_t extent : shape) n *= extent;
  return n;
}

void check_same_tensors(const StateSource& source, const ModelSpec& model) {
  auto stored = index_by_name(source);
  std::vector<std::string> missing, unknown;
  for (const TensorSpec& wanted : list_tensors(model)) {
    const auto found = stored.find(wanted.name);
    if (found == stored.end()) {
      missing.push_back(wanted.name);
      continue;
    }
    const StoredTensor& tensor = source.tensors()[found->second];
    if (tensor.shape != wanted.shape) {
      throw Error(ErrorKind::kConfig,
                  fmt::format("{}: tensor {} is {}, but model {} has it as {}: this is another model", source.path(),
                              wanted.name, shape_text(tensor.shape), model.name, shape_text(wanted.shape)));
    }
    stored.erase(found);
  }
  for (const StoredTensor& tensor : source.tensors()) {
    if (stored.contains(tensor.name)) unknown.push_back(tensor.name);
  }
  if (missing.empty() && unknown.empty()) return;
  std::string text = fmt::format("{}: this is not model {}:", source.path(), model.name);
  if (!missing.empty()) text += fmt::format(" it lacks {} ({} tensor(s))", name_some(missing), missing.size());
  if (!unknown.empty()) {
    text += fmt::format("{} it has {} ({} tensor(s)) that the model has not", missing.empty() ? "" : ";",
                        name_some(unknown), unknown.size());
  }
  throw Error(ErrorKind::kConfig, text);
}

void restore_state(const Program& program, const Memory& memory, StateSource& source) {
  const auto index = index_by_name(source);
  const bool moments = source.has_moments();
  fill_state(program, memory,
             [&](const Parameter& parameter, StateRole role, std::int64_t begin, std::span<float> out) {
               const auto found = index.find(parameter.name);
               SS_CHECK(found != index.end(), parameter.name);  // check_same_tensors() was asked before
               const bool value = role == StateRole::kParameter || role == StateRole::kMaster;
               if (value || moments) {
                 source.read(found->second, value ? StateRole::kParameter : role, begin, out);
               } else {
                 std::fill(out.begin(), out.end(), 0.0F);
               }
             });
}

}  // namespace shardscope
