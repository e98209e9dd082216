#include "core/engine/checkpoint/checkpoint_format.h"

#define XXH_INLINE_ALL
#include <fmt/format.h>
#include <xxhash.h>

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/check.h"
#include "core/error.h"
#include "core/spec/json_reader.h"

namespace shardscope {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;
constexpr std::string_view kManifestFormat = "shardscope checkpoint", kIndexFormat = "shardscope checkpoint rank";
constexpr std::string_view kSeal = ",\n\"checksum\":\"";
constexpr IntegerRange kCount{0, std::int64_t{1} << 56};  // sums of a few of these do not overflow

std::string hex(std::uint64_t sum) { return fmt::format("{:016x}", sum); }

std::uint64_t from_hex(std::string_view text, const std::string& file) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  if (text.size() != 16 || error != std::errc() || end != text.data() + text.size()) {
    throw Error(ErrorKind::kParse, fmt::format("{}: \"{}\" is no checksum", file, printable(text)));
  }
  return value;
}

/// Adds the checksum of all that stands before it as the last key.
std::string seal(const Json& json) {
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.pop_back();  // the closing brace
  const std::uint64_t sum = checksum(text);
  return text.append(kSeal).append(hex(sum)).append("\"}\n");
}

/// The tree, if the text is what seal() made.
JsonNode unseal(std::string_view text, const std::string& file, std::string_view format) {
  const std::size_t at = text.rfind(kSeal);
  if (at == std::string_view::npos || text.size() != at + kSeal.size() + 16 + 3) {
    throw Error(ErrorKind::kParse, file + ": is cut short, or no index of a checkpoint: it must end in its checksum");
  }
  if (from_hex(text.substr(at + kSeal.size(), 16), file) != checksum(text.substr(0, at))) {
    throw Error(ErrorKind::kParse, file + ": is damaged: its text does not have the checksum that it ends in");
  }
  JsonNode root = parse_json(text, file);
  const JsonReader reader(root, file, "");
  if (reader.text("format", "") != format)
    reader.fail("format", fmt::format("must be \"{}\"", format), ErrorKind::kParse);
  if (reader.integer("version") != kVersion) {
    reader.fail("version", fmt::format("is {}; this program reads version {}", reader.integer("version"), kVersion),
                ErrorKind::kUnsupported);
  }
  return root;
}

template <class F>
void for_each_item(const JsonReader& reader, std::string_view key, F&& f) {
  const JsonNode* list = reader.find(key);
  if (list == nullptr || list->type != JsonNode::Type::kArray) reader.fail(key, "must be a list", ErrorKind::kParse);
  for (std::size_t i = 0; i < list->items.size(); ++i) f(list->items[i], fmt::format("{}[{}]", reader.path_of(key), i));
}

std::vector<std::int64_t> integers(const JsonReader& reader, const JsonNode& list, const std::string& path) {
  std::vector<std::int64_t> values;
  for (const JsonNode& item : list.items) {
    const auto value = as_integer(item);
    if (!value || *value < kCount.min || *value > kCount.max) {
      reader.fail(path, "must be a list of counts", ErrorKind::kParse);
    }
    values.push_back(*value);
  }
  return values;
}

RunGroup read_run(const JsonReader& reader, const JsonNode& node, const std::string& path) {
  const std::vector<std::int64_t> n = integers(reader, node, path);
  std::int64_t reach = 0;
  const bool fits = n.size() == 4 && n[1] >= 1 && n[3] >= 1 && (n[3] == 1 || n[2] >= n[1]) &&
                    !__builtin_mul_overflow(n[3] - 1, n[2], &reach) && reach <= kCount.max &&
                    reach + n[0] + n[1] <= kCount.max;
  if (!fits) reader.fail(path, "must be begin, length, stride and times of elements", ErrorKind::kParse);
  return {n[0], n[1], n[2], n[3]};
}

template <class E>
E read_name(const JsonReader& reader, std::string_view key) {
  const std::optional<E> value = from_name<E>(reader.text(key));
  if (!value)
    reader.fail(key, fmt::format("is \"{}\", which is not known", printable(reader.text(key))), ErrorKind::kParse);
  return *value;
}

std::vector<std::uint64_t> read_sums(const JsonReader& reader, std::int64_t bytes) {
  const std::string text = reader.text("sums");
  const std::int64_t wanted = (bytes + kCheckedBytes - 1) / kCheckedBytes;
  if (static_cast<std::int64_t>(text.size()) != 16 * wanted) {
    reader.fail("sums", fmt::format("must be {} checksums", wanted), ErrorKind::kParse);
  }
  std::vector<std::uint64_t> sums;
  for (std::size_t at = 0; at < text.size(); at += 16) {
    sums.push_back(from_hex(std::string_view(text).substr(at, 16), reader.file()));
  }
  return sums;
}

StateRole read_role(const JsonReader& reader) {
  for (const StateRole role : {StateRole::kParameter, StateRole::kExpAvg, StateRole::kExpAvgSq}) {
    if (reader.text("role") == to_string(role)) return role;
  }
  reader.fail("role", "must be parameter, exp_avg or exp_avg_sq", ErrorKind::kParse);
}

PartEntry read_part(const JsonReader& reader, std::int64_t file_bytes) {
  PartEntry part;
  part.tensor = reader.text("tensor");
  part.role = read_role(reader);
  part.dtype = read_name<DType>(reader, "dtype");
  part.offset = reader.integer("offset", kCount);
  part.elements = reader.integer("elements", {1, kCount.max / 8});
  if (part.offset + part.bytes() > file_bytes) reader.fail("offset", "reaches beyond the file", ErrorKind::kParse);
  std::int64_t elements = 0;
  for_each_item(reader, "runs", [&](const JsonNode& node, const std::string& path) {
    part.runs.push_back(read_run(reader, node, path));
    std::int64_t n = 0;
    const RunGroup& run = part.runs.back();
    if (__builtin_mul_overflow(run.length, run.times, &n) || n > kCount.max) n = kCount.max;
    elements = std::min(elements + n, kCount.max);
  });
  if (elements != part.elements) reader.fail("runs", "are not as many elements", ErrorKind::kParse);
  part.sums = read_sums(reader, part.bytes());
  return part;
}

Json part_json(const PartEntry& part) {
  Json runs = Json::array();
  for (const RunGroup& run : part.runs) runs.push_back({run.begin, run.length, run.stride, run.times});
  std::string sums;
  for (const std::uint64_t sum : part.sums) sums += hex(sum);
  return {{"tensor", part.tensor}, {"role", to_string(part.role)}, {"dtype", to_string(part.dtype)},
          {"offset", part.offset}, {"elements", part.elements},    {"runs", runs},
          {"sums", sums}};
}

StoredTensor read_tensor(const JsonReader& reader) {
  StoredTensor tensor{reader.text("name"), {}};
  const JsonNode* shape = reader.find("shape");
  if (shape == nullptr) reader.fail("shape", "is missing", ErrorKind::kParse);
  tensor.shape = integers(reader, *shape, reader.path_of("shape"));
  std::int64_t n = 1;
  for (const std::int64_t extent : tensor.shape) {
    if (__builtin_mul_overflow(n, extent, &n) || n > kCount.max)
      reader.fail("shape", "is too large", ErrorKind::kParse);
  }
  return tensor;
}

/// A name of a file in the folder, and of nothing elsewhere.
std::string read_file_name(const JsonReader& reader, std::string_view key) {
  std::string name = reader.text(key);
  if (name.empty() || name.find('/') != std::string::npos || name == "..") {
    reader.fail(key, "must be the name of a file in the checkpoint's folder", ErrorKind::kParse);
  }
  return name;
}

std::uint64_t read_seed(const JsonReader& reader) {
  const std::string text = reader.text("seed");
  std::uint64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size())
    reader.fail("seed", "must be a number", ErrorKind::kParse);
  return seed;
}

RunPosition read_position(const JsonReader& reader) {
  RunPosition position{.steps = reader.integer("steps", kCount),
                       .applied = reader.integer("applied_steps", kCount),
                       .sequences = reader.integer("sequences", kCount)};
  if (const auto scalars = reader.object("scalars")) {
    for (const JsonMember& member : scalars->node().members) {
      const auto value = as_real(member.second);
      if (!value) scalars->fail(member.first, "must be a number", ErrorKind::kParse);
      position.scalars[member.first] = *value;
    }
  }
  return position;
}

}  // namespace

std::uint64_t checksum(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }
std::uint64_t checksum(std::string_view text) { return XXH3_64bits(text.data(), text.size()); }

std::string rank_file(int rank, const char* extension) { return fmt::format("rank-{:05}{}", rank, extension); }

std::string to_json(const RankIndex& index) {
  Json parts = Json::array();
  for (const PartEntry& part : index.parts) parts.push_back(part_json(part));
  return seal({{"format", kIndexFormat},
               {"version", kVersion},
               {"rank", index.rank},
               {"steps", index.step},
               {"bytes", index.bytes},
               {"parts", parts}});
}

std::string to_json(const Manifest& manifest) {
  Json tensors = Json::array(), ranks = Json::array();
  for (const StoredTensor& tensor : manifest.tensors)
    tensors.push_back({{"name", tensor.name}, {"shape", tensor.shape}});
  for (const RankFiles& files : manifest.ranks) {
    ranks.push_back({{"index", files.index},
                     {"data", files.data},
                     {"index_checksum", hex(files.checksum)},
                     {"bytes", files.bytes}});
  }
  return seal({{"format", kManifestFormat},
               {"version", kVersion},
               {"steps", manifest.position.steps},
               {"applied_steps", manifest.position.applied},
               {"sequences", manifest.position.sequences},
               {"scalars", Json(manifest.position.scalars)},
               {"seed", std::to_string(manifest.seed)},
               {"model", Json::parse(manifest.model_json)},
               {"training", Json::parse(manifest.training_json)},
               {"tensors", tensors},
               {"ranks", ranks}});
}

RankIndex parse_rank_index(std::string_view text, const std::string& file) {
  const JsonNode root = unseal(text, file, kIndexFormat);
  const JsonReader reader(root, file, "");
  RankIndex index{.rank = static_cast<int>(reader.integer("rank", {0, 1 << 24})),
                  .step = reader.integer("steps", kCount),
                  .bytes = reader.integer("bytes", kCount)};
  for_each_item(reader, "parts", [&](const JsonNode& node, const std::string& path) {
    index.parts.push_back(read_part(JsonReader(node, file, path), index.bytes));
  });
  return index;
}

Manifest parse_manifest(std::string_view text, const std::string& file) {
  const JsonNode root = unseal(text, file, kManifestFormat);
  const JsonReader reader(root, file, "");
  Manifest manifest{.position = read_position(reader), .seed = read_seed(reader)};
  for (const auto& [key, json] : {std::pair("model", &manifest.model_json), {"training", &manifest.training_json}}) {
    const JsonNode* node = reader.find(key);
    if (node == nullptr || !node->is_object()) reader.fail(key, "must be an object", ErrorKind::kParse);
    *json = to_json_text(*node);
  }
  for_each_item(reader, "tensors", [&](const JsonNode& node, const std::string& path) {
    manifest.tensors.push_back(read_tensor(JsonReader(node, file, path)));
  });
  for_each_item(reader, "ranks", [&](const JsonNode& node, const std::string& path) {
    const JsonReader rank(node, file, path);
    manifest.ranks.push_back({.index = read_file_name(rank, "index"),
                              .data = read_file_name(rank, "data"),
                              .checksum = from_hex(rank.text("index_checksum"), file),
                              .bytes = rank.integer("bytes", kCount)});
  });
  return manifest;
}

}  // namespace shardscope
