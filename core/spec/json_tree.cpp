#include "core/spec/json_tree.h"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "core/error.h"

namespace shardscope {
namespace {

using Json = nlohmann::json;

/// A forward iterator over text that counts the lines it has passed, so that the handler knows where a key stands.
class LineIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  LineIterator(const char* position, int* line) : position_(position), line_(line) {}
  reference operator*() const { return *position_; }
  LineIterator& operator++() {
    if (*position_++ == '\n') ++*line_;
    return *this;
  }
  friend bool operator==(const LineIterator& a, const LineIterator& b) { return a.position_ == b.position_; }
  friend bool operator!=(const LineIterator& a, const LineIterator& b) { return !(a == b); }

 private:
  const char* position_;
  int* line_;
};

/// End of the string literal that starts at `i` (index after its closing quote, or the end of the text).
std::size_t skip_string(std::string_view text, std::size_t i) {
  for (++i; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    } else if (text[i] == '\n') {
      return i;  // unterminated: the parser will say so
    }
  }
  return text.size();
}

/// End of the comment that starts at `i`, or `i` if there is none.
std::size_t skip_comment(std::string_view text, std::size_t i) {
  const std::string_view rest = text.substr(i);
  if (rest.starts_with("#") || rest.starts_with("//")) return std::min(text.find('\n', i), text.size());
  if (rest.starts_with("/*")) {
    const std::size_t close = text.find("*/", i + 2);
    return close == std::string_view::npos ? i : close + 2;
  }
  return i;
}

/// Strict JSON of the same length and lines: comments and trailing commas become blanks.
std::string blank_relaxations(std::string_view text) {
  std::string out(text);
  std::size_t comma = std::string::npos;  // last comma with only blanks and comments after it
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    const std::size_t comment_end = skip_comment(text, i);
    if (comment_end != i) {
      for (; i < comment_end; ++i) out[i] = text[i] == '\n' ? '\n' : ' ';
      continue;
    }
    if (c == '"') {
      comma = std::string::npos;
      i = skip_string(text, i);
      continue;
    }
    if ((c == '}' || c == ']') && comma != std::string::npos) out[comma] = ' ';
    if (c == ',') {
      comma = i;
    } else if (std::strchr(" \t\r\n", c) == nullptr || c == '\0') {
      comma = std::string::npos;
    }
    ++i;
  }
  return out;
}

/// Builds the tree from nlohmann's events; throws at duplicate keys and at kMaxJsonDepth.
class TreeBuilder : public nlohmann::json_sax<Json> {
 public:
  TreeBuilder(const std::string& file, const int* line) : file_(file), line_(line) {}
  JsonNode take_root() { return std::move(root_); }

  bool null() override { return add({}) != nullptr; }
  bool boolean(bool value) override {
    JsonNode node{.type = JsonNode::Type::kBool};
    node.boolean = value;
    return add(std::move(node)) != nullptr;
  }
  bool number_integer(number_integer_t value) override {
    JsonNode node = json_integer(value);
    return add(std::move(node)) != nullptr;
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) {
      return number_float(static_cast<double>(value), {});
    }
    return number_integer(static_cast<number_integer_t>(value));
  }
  bool number_float(number_float_t value, const string_t&) override {
    JsonNode node{.type = JsonNode::Type::kReal};
    node.real = value;
    return add(std::move(node)) != nullptr;
  }
  bool string(string_t& value) override { return add(json_string(std::move(value))) != nullptr; }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(JsonNode::Type::kObject); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(JsonNode::Type::kArray); }
  bool end_array() override { return close(); }
  bool key(string_t& value) override {
    if (!keys_.back().insert(value).second) {
      throw Error(ErrorKind::kParse, fmt::format("{}:{}: duplicate key \"{}\"; every key may be given once", file_,
                                                 *line_, printable(value)));
    }
    key_ = std::move(value);
    key_line_ = *line_;
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    const std::string_view text = error.what();
    const std::size_t colon = text.find(": ");
    throw Error(ErrorKind::kParse,
                fmt::format("{}:{}: not valid JSON at byte {}: {}", file_, *line_, position,
                            printable(colon == std::string_view::npos ? text : text.substr(colon + 2), 160)));
  }

 private:
  JsonNode* add(JsonNode node) {
    node.line = *line_;
    if (stack_.empty()) {
      root_ = std::move(node);
      return &root_;
    }
    JsonNode& parent = *stack_.back();
    if (parent.type == JsonNode::Type::kArray) return &parent.items.emplace_back(std::move(node));
    node.line = key_line_;
    return &parent.members.emplace_back(std::move(key_), std::move(node)).second;
  }
  bool open(JsonNode::Type type) {
    if (stack_.size() >= static_cast<std::size_t>(kMaxJsonDepth)) {
      throw Error(ErrorKind::kParse, fmt::format("{}:{}: nested deeper than {} levels", file_, *line_, kMaxJsonDepth));
    }
    stack_.push_back(add(JsonNode{.type = type}));
    keys_.emplace_back();
    return true;
  }
  bool close() {
    stack_.pop_back();
    keys_.pop_back();
    return true;
  }

  const std::string& file_;
  const int* line_;
  JsonNode root_;
  std::vector<JsonNode*> stack_;
  std::vector<std::unordered_set<std::string>> keys_;
  std::string key_;
  int key_line_ = 0;
};

Json to_nlohmann(const JsonNode& node) {
  switch (node.type) {
    case JsonNode::Type::kNull:
      return nullptr;
    case JsonNode::Type::kBool:
      return node.boolean;
    case JsonNode::Type::kInteger:
      return node.integer;
    case JsonNode::Type::kReal:
      return node.real;
    case JsonNode::Type::kString:
      return node.text;
    case JsonNode::Type::kArray: {
      Json out = Json::array();
      for (const JsonNode& item : node.items) out.push_back(to_nlohmann(item));
      return out;
    }
    case JsonNode::Type::kObject:
      break;
  }
  Json out = Json::object();
  for (const auto& [key, value] : node.members) out[key] = to_nlohmann(value);
  return out;
}

}  // namespace

const JsonNode* JsonNode::find(std::string_view key) const {
  for (const auto& [name, value] : members) {
    if (name == key) return &value;
  }
  return nullptr;
}

JsonNode* JsonNode::find(std::string_view key) {
  return const_cast<JsonNode*>(static_cast<const JsonNode*>(this)->find(key));
}

void JsonNode::set(const std::string& key, JsonNode value) {
  if (JsonNode* old = find(key)) {
    *old = std::move(value);
  } else {
    members.emplace_back(key, std::move(value));
  }
}

JsonNode json_string(std::string text) {
  JsonNode node{.type = JsonNode::Type::kString};
  node.text = std::move(text);
  return node;
}

JsonNode json_integer(std::int64_t value) {
  JsonNode node{.type = JsonNode::Type::kInteger};
  node.integer = value;
  node.real = static_cast<double>(value);
  return node;
}

JsonNode json_object() { return JsonNode{.type = JsonNode::Type::kObject}; }

JsonNode parse_json(std::string_view text, const std::string& file_name) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    throw Error(ErrorKind::kParse, fmt::format("{}: the file is empty; it must hold a JSON object", file_name));
  }
  const std::string strict = blank_relaxations(text);
  int line = 1;
  TreeBuilder builder(file_name, &line);
  Json::sax_parse(LineIterator(strict.data(), &line), LineIterator(strict.data() + strict.size(), &line), &builder);
  return builder.take_root();
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  for (const char c : text.substr(0, limit)) out += c >= ' ' && c <= '~' ? c : '?';
  if (text.size() > limit) out += "...";
  return out;
}

std::string describe(const JsonNode& node) {
  switch (node.type) {
    case JsonNode::Type::kNull:
      return "null";
    case JsonNode::Type::kBool:
      return node.boolean ? "true" : "false";
    case JsonNode::Type::kInteger:
      return fmt::format("{}", node.integer);
    case JsonNode::Type::kReal:
      return fmt::format("{}", node.real);
    case JsonNode::Type::kString:
      return fmt::format("\"{}\"", printable(node.text));
    case JsonNode::Type::kArray:
      return fmt::format("an array of {} values", node.items.size());
    case JsonNode::Type::kObject:
      break;
  }
  return "an object";
}

std::string to_json_text(const JsonNode& node) {
  return to_nlohmann(node).dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string read_text_file(const std::string& path) {
  constexpr std::uintmax_t kLimit = 64u << 20;
  const auto fail = [&](const std::string& why) -> void {
    throw Error(ErrorKind::kConfig, fmt::format("{}: cannot be read: {}", printable(path, 400), why));
  };
  std::error_code code;
  if (std::filesystem::is_directory(path, code)) fail("it is a directory; a file is needed");
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(std::strerror(errno));
  std::string text;
  char block[1 << 16];
  while (in.read(block, sizeof block) || in.gcount() > 0) {
    text.append(block, static_cast<std::size_t>(in.gcount()));
    if (text.size() > kLimit) fail("it is larger than 64 MiB, which no configuration is");
  }
  if (in.bad()) fail(std::strerror(errno));
  return text;
}

}  // namespace shardscope
