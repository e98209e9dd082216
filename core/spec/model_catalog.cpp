#include "core/spec/model_catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "core/check.h"
#include "core/embedded.h"
#include "core/error.h"
#include "core/spec/json_reader.h"

namespace shardscope {

std::span<const EmbeddedFile> embedded_models();  // generated from data/models

namespace {

constexpr std::string_view kJson = ".json", kAliases = "aliases.csv";

bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

/// Small letters and digits, and the dots of numbers: "OPT-1.3B" is opt1.3b and not opt13b.
std::string plain(std::string_view name) {
  std::string out;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const char c = name[i];
    const bool dot = c == '.' && i > 0 && i + 1 < name.size() && is_digit(name[i - 1]) && is_digit(name[i + 1]);
    if (dot || std::isalnum(static_cast<unsigned char>(c)) != 0) {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

/// Without owner ("meta-llama/"), remark ("(SFT)") and the endings that say nothing about the shape.
std::string essence(std::string_view name) {
  if (const auto slash = name.rfind('/'); slash != std::string_view::npos) name.remove_prefix(slash + 1);
  if (const auto remark = name.find('('); remark != std::string_view::npos) name = name.substr(0, remark);
  std::string text = plain(name);
  for (bool found = true; found;) {
    found = false;
    for (const std::string_view ending : {"hf", "base", "instruct", "chat", "it"}) {
      if (!text.ends_with(ending) || text.size() == ending.size()) continue;
      text.resize(text.size() - ending.size());
      found = true;
    }
  }
  return text;
}

/// One spelling of a model's name, without what does not count.
struct Spelling {
  std::string text, model;
};

/// Lines "alias,model" after a head line.
void add_aliases(std::string_view csv, std::vector<Spelling>& spellings) {
  csv.remove_prefix(std::min(csv.size(), csv.find('\n') + 1));
  while (!csv.empty()) {
    const std::string_view line = csv.substr(0, csv.find('\n'));
    csv.remove_prefix(std::min(csv.size(), line.size() + 1));
    const auto comma = line.find(',');
    SS_CHECK(comma != std::string_view::npos, line);
    spellings.push_back({essence(line.substr(0, comma)), std::string(line.substr(comma + 1))});
  }
}

std::vector<Spelling> spellings() {
  std::vector<Spelling> all;
  for (const std::string& name : model_names()) all.push_back({essence(name), name});
  for (const EmbeddedFile& file : embedded_models()) {
    if (file.path == kAliases) add_aliases(file.text, all);
  }
  return all;
}

std::string_view text_of(std::string_view model) {
  for (const EmbeddedFile& file : embedded_models()) {
    if (file.path.ends_with(kJson) && file.path.substr(0, file.path.size() - kJson.size()) == model) return file.text;
  }
  SS_CHECK(false, model);
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// A slip of the pen, or else the models whose names begin most like it.
std::string nearest_models(const std::string& wanted, const std::vector<Spelling>& all) {
  std::vector<std::string_view> known;
  for (const Spelling& s : all) known.push_back(s.text);
  std::vector<std::string> near;
  if (const auto one = nearest_name(wanted, known)) {
    near.push_back(std::find_if(all.begin(), all.end(), [&](const Spelling& s) { return s.text == *one; })->model);
  }
  std::size_t best = 3;  // shorter likeness is chance
  for (const Spelling& s : all) best = std::max(best, common_prefix(wanted, s.text));
  for (const Spelling& s : all) {
    const bool listed = std::find(near.begin(), near.end(), s.model) != near.end();
    if (!listed && near.size() < 5 && common_prefix(wanted, s.text) >= best) near.push_back(s.model);
  }
  if (near.empty()) return "";
  return fmt::format("; nearest: {}", fmt::join(near, ", "));
}

bool looks_like_path(const std::string& text) {
  return text.empty() || text.ends_with(kJson) || text.front() == '.' || text.front() == '/';
}

ModelText find_model_text(std::string_view name) {
  const std::vector<Spelling> all = spellings();
  const std::string wanted = essence(name);
  const auto found = std::find_if(all.begin(), all.end(), [&](const Spelling& s) { return s.text == wanted; });
  if (found != all.end()) return {std::string(text_of(found->model)), found->model + std::string(kJson)};
  throw Error(ErrorKind::kConfig,
              fmt::format("model \"{}\": is neither a file nor in the catalog{}; `shardscope models` lists it",
                          printable(name), nearest_models(wanted, all)));
}

}  // namespace

std::vector<std::string> model_names() {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : embedded_models()) {
    if (file.path.ends_with(kJson)) names.emplace_back(file.path.substr(0, file.path.size() - kJson.size()));
  }
  std::sort(names.begin(), names.end());  // files are sorted with their endings
  return names;
}

ModelSpec find_model(std::string_view name) {
  const ModelText found = find_model_text(name);
  return parse_model(found.text, found.file_name);
}

ModelSpec open_model(const std::string& path_or_name, const std::string& folder) {
  const ModelText found = open_model_text(path_or_name, folder);
  return parse_model(found.text, found.file_name);
}

ModelText open_model_text(const std::string& path_or_name, const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / path_or_name).string();  // an absolute one stays
  std::error_code code;
  if (!looks_like_path(path_or_name) && !std::filesystem::exists(path, code)) return find_model_text(path_or_name);
  const bool is_folder = std::filesystem::is_directory(path, code);
  const std::string file = is_folder ? (std::filesystem::path(path) / "config.json").string() : path;
  return {read_text_file(file), file};
}

}  // namespace shardscope
