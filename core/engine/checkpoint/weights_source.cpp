#include "core/engine/checkpoint/weights_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/check.h"
#include "core/engine/checkpoint/tensor_names.h"
#include "core/error.h"
#include "core/spec/json_tree.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOneFile = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr std::int64_t kBlock = 1 << 16;  // elements compared at a time

bool is_file(const std::string& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

}  // namespace

bool is_weights(const std::string& path) {
  return path.ends_with(".safetensors") || path.ends_with(".safetensors.index.json") ||
         is_file(join_path(path, kOneFile)) || is_file(join_path(path, kIndex));
}

WeightsSource::WeightsSource(const std::string& path, const ModelSpec& model) : path_(path) {
  open(path);
  const TensorNames names(model);
  Place head;
  for (const auto& file : files_) {
    for (const SafetensorsTensor& tensor : file->tensors()) {
      const std::optional<std::string> name = names.find(tensor.name);
      if (!name && names.is_tied_head(tensor.name)) {
        head = {file.get(), &tensor};
      } else if (name || !TensorNames::is_constant(tensor.name)) {
        add(name.value_or(tensor.name), {file.get(), &tensor});
      }
    }
  }
  if (head.file != nullptr) check_tied_head(head, names.embedding());
}

void WeightsSource::open(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    if (path.ends_with(".json")) return open_index(path);
    files_.push_back(std::make_unique<SafetensorsReader>(path));
    return;
  }
  if (is_file(join_path(path, kOneFile))) return open(join_path(path, kOneFile));
  if (is_file(join_path(path, kIndex))) return open_index(join_path(path, kIndex));
  throw Error(ErrorKind::kConfig, fmt::format("{}: has neither {} nor {}", path, kOneFile, kIndex));
}

void WeightsSource::open_index(const std::string& path) {
  const JsonNode root = parse_json(read_text_file(path), path);
  const JsonNode* map = root.find("weight_map");
  if (map == nullptr || !map->is_object()) {
    throw Error(ErrorKind::kParse, path + ": has no weight_map, which says which file holds which tensor");
  }
  std::set<std::string> names;
  for (const JsonMember& member : map->members) {
    const std::string& file = member.second.text;
    if (!member.second.is_string() || file.empty() || file.find('/') != std::string::npos) {
      throw Error(ErrorKind::kParse,
                  fmt::format("{}: weight_map.{} must name a file in the same folder", path, printable(member.first)));
    }
    names.insert(file);
  }
  const std::string folder = fs::path(path).parent_path().string();
  for (const std::string& name : names) files_.push_back(std::make_unique<SafetensorsReader>(join_path(folder, name)));
}

void WeightsSource::add(const std::string& name, Place place) {
  const auto [it, is_new] = index_.try_emplace(name, tensors_.size());
  if (!is_new) {
    const Place other = places_[it->second];
    throw Error(ErrorKind::kParse, fmt::format("{}: tensor {} is in it twice, as {} in {} and as {} in {}", path_, name,
                                               other.tensor->name, file_name(other.file->path()), place.tensor->name,
                                               file_name(place.file->path())));
  }
  tensors_.push_back({name, place.tensor->shape});
  places_.push_back(place);
}

void WeightsSource::check_tied_head(Place head, const std::string& embedding) const {
  const auto found = index_.find(embedding);
  if (found == index_.end()) return;  // said as missing
  const Place other = places_[found->second];
  bool same = head.tensor->shape == other.tensor->shape;
  std::vector<float> a(kBlock), b(kBlock);
  for (std::int64_t done = 0; same && done < head.tensor->elements(); done += kBlock) {
    const auto n = static_cast<std::size_t>(std::min(kBlock, head.tensor->elements() - done));
    head.file->read(*head.tensor, done, std::span(a).first(n));
    other.file->read(*other.tensor, done, std::span(b).first(n));
    same = std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(n), b.begin());
  }
  if (same) return;
  throw Error(ErrorKind::kConfig, fmt::format("{}: {} is not {}, but the model ties them (tie_word_embeddings); these "
                                              "are weights of a model that does not",
                                              path_, head.tensor->name, embedding));
}

void WeightsSource::read(std::size_t tensor, StateRole role, std::int64_t begin, std::span<float> out) {
  SS_CHECK(role == StateRole::kParameter, static_cast<int>(role));
  const Place place = places_.at(tensor);
  place.file->read(*place.tensor, begin, out);
}

}  // namespace shardscope
