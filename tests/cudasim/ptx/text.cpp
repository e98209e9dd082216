#include "tests/cudasim/ptx/text.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "tests/cudasim/core/report.h"

namespace cudasim::ptx {

std::string strip_comments(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i, 2) == "//") {
      i = std::min(text.find('\n', i), text.size());
      out += '\n';
    } else if (text.substr(i, 2) == "/*") {
      const size_t end = std::min(text.find("*/", i), text.size() - 1);
      out.append(static_cast<size_t>(std::count(&text[i], &text[end], '\n')), '\n');
      i = end + 1;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string trim(std::string_view text) {
  const size_t from = text.find_first_not_of(" \t\n\r");
  if (from == std::string_view::npos) return "";
  return std::string(text.substr(from, text.find_last_not_of(" \t\n\r") + 1 - from));
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  int depth = 0;
  size_t from = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '{' || c == '[' || c == '(') ++depth;
    if (c == '}' || c == ']' || c == ')') --depth;
    if (c == separator && depth == 0) {
      out.push_back(trim(text.substr(from, i - from)));
      from = i + 1;
    }
  }
  if (std::string last = trim(text.substr(from)); !last.empty()) out.push_back(std::move(last));
  return out;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  for (size_t i = 0; i < text.size();) {
    while (i < text.size() && std::isspace(static_cast<unsigned char>(text[i])) != 0) ++i;
    size_t end = i;
    while (end < text.size() && std::isspace(static_cast<unsigned char>(text[end])) == 0) ++end;
    if (end > i) out.emplace_back(text.substr(i, end - i));
    i = end;
  }
  return out;
}

size_t closing(std::string_view text, size_t open) {
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '(' || text[i] == '{' || text[i] == '[') ++depth;
    if ((text[i] == ')' || text[i] == '}' || text[i] == ']') && --depth == 0) return i;
  }
  throw Fault{cudaErrorInvalidPtx, "PTX: a bracket is not closed: " + std::string(text.substr(open, 60))};
}

int type_bytes(const std::string& type) {
  static const std::map<std::string, int> bytes{
      {"u8", 1},     {"s8", 1},     {"b8", 1},  {"u16", 2}, {"s16", 2}, {"b16", 2},   {"f16", 2},   {"bf16", 2},
      {"e4m3x2", 2}, {"e5m2x2", 2}, {"u32", 4}, {"s32", 4}, {"b32", 4}, {"f32", 4},   {"f16x2", 4}, {"bf16x2", 4},
      {"tf32", 4},   {"u64", 8},    {"s64", 8}, {"b64", 8}, {"f64", 8}, {"b128", 16}, {"pred", 1}};
  const auto found = bytes.find(type);
  return found == bytes.end() ? 0 : found->second;
}

bool is_type(const std::string& type) { return type_bytes(type) > 0; }

}  // namespace cudasim::ptx
