#include "core/engine/checkpoint/export_weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/engine/checkpoint/disk_file.h"
#include "core/engine/float_convert.h"
#include "core/engine/safetensors.h"
#include "core/error.h"
#include "core/spec/model_config.h"

namespace shardscope {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kBlock = 1 << 18;  // elements read at a time

std::int64_t bytes_of(const StoredTensor& tensor, DType dtype) { return tensor.elements() * size_of(dtype); }

/// Tensors of each file, by index.
std::vector<std::vector<std::size_t>> deal_to_files(const StateSource& source, const WeightExportOptions& options) {
  std::vector<std::vector<std::size_t>> files;
  std::int64_t used = 0;
  for (std::size_t i = 0; i < source.tensors().size(); ++i) {
    const std::int64_t bytes = bytes_of(source.tensors()[i], options.dtype);
    if (files.empty() || used + bytes > options.file_bytes) {
      files.emplace_back();
      used = 0;
    }
    files.back().push_back(i);
    used += bytes;
  }
  return files;
}

void write_tensor(StateSource& source, std::size_t tensor, DType dtype, SafetensorsWriter& file) {
  const std::int64_t elements = source.tensors()[tensor].elements();
  std::vector<float> values(static_cast<std::size_t>(std::min(kBlock, elements)));
  std::vector<std::byte> stored(values.size() * static_cast<std::size_t>(size_of(dtype)));
  for (std::int64_t done = 0; done < elements; done += kBlock) {
    const auto n = static_cast<std::size_t>(std::min(kBlock, elements - done));
    source.read(tensor, StateRole::kParameter, done, std::span(values).first(n));
    from_floats(std::span(values).first(n), dtype, stored.data());
    file.append(std::span<const std::byte>(stored).first(n * static_cast<std::size_t>(size_of(dtype))));
  }
}

void write_file(StateSource& source, const std::vector<std::size_t>& tensors, DType dtype, const std::string& path) {
  std::vector<TensorEntry> entries;
  for (const std::size_t i : tensors) entries.push_back({source.tensors()[i].name, dtype, source.tensors()[i].shape});
  const std::string partial = path + ".partial";
  SafetensorsWriter file(partial, entries, {{"format", "pt"}});  // transformers insists on it
  for (const std::size_t i : tensors) write_tensor(source, i, dtype, file);
  file.finish();
  rename_file(partial, path);
}

std::string config_of(const ModelSpec& model, DType dtype) {
  nlohmann::ordered_json config = nlohmann::ordered_json::parse(model_config_json(model));
  config["dtype"] = dtype == DType::kBF16 ? "bfloat16" : dtype == DType::kF16 ? "float16" : "float32";
  return config.dump(2) + "\n";
}

void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder)) {
    throw Error(ErrorKind::kIo,
                fmt::format("{}: cannot be made a folder: {}", folder, error ? error.message() : "it is a file"));
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name == "config.json" ||
        (name.starts_with("model") && name.find(".safetensors") != std::string::npos && !name.ends_with(".partial"))) {
      throw Error(ErrorKind::kConfig, fmt::format("{}: holds {} already; give another folder", folder, name));
    }
  }
}

}  // namespace

ExportResult export_weights(StateSource& source, const ModelSpec& model, const std::string& folder,
                            const WeightExportOptions& options) {
  const std::string config = config_of(model, options.dtype);
  make_folder(folder);
  const std::vector<std::vector<std::size_t>> files = deal_to_files(source, options);
  nlohmann::ordered_json map = nlohmann::ordered_json::object();
  ExportResult result{.files = static_cast<int>(files.size())};
  for (std::size_t f = 0; f < files.size(); ++f) {
    const std::string name =
        files.size() == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", f + 1, files.size());
    write_file(source, files[f], options.dtype, join_path(folder, name));
    for (const std::size_t i : files[f]) {
      map[source.tensors()[i].name] = name;
      result.bytes += bytes_of(source.tensors()[i], options.dtype);
      ++result.tensors;
    }
  }
  if (files.size() > 1) {
    const nlohmann::ordered_json index{{"metadata", {{"total_size", result.bytes}}}, {"weight_map", map}};
    write_synced(join_path(folder, "model.safetensors.index.json"), index.dump(2) + "\n");
  }
  write_synced(join_path(folder, "config.json"), config);
  return result;
}

}  // namespace shardscope
