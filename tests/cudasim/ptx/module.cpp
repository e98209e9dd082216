#include "tests/cudasim/ptx/module.h"

#include <fmt/format.h>

#include <cctype>
#include <cstdlib>
#include <cstring>

#include "tests/cudasim/ptx/text.h"

namespace cudasim::ptx {

namespace {

[[noreturn]] void refuse(const std::string& what) { throw Fault{cudaErrorInvalidPtx, "PTX: " + what}; }

/// The next statement at module scope begins at `from`; where it ends: at a ';', a line's end (directives), or a '{'.
bool is_line_directive(const std::string& text, size_t at) {
  for (const char* name : {".version", ".target", ".address_size", ".file", ".loc"}) {
    if (text.compare(at, std::strlen(name), name) == 0) return true;
  }
  return false;
}

bool has_word(const std::vector<std::string>& list, const std::string& word) {
  for (const std::string& one : list) {
    if (one == word) return true;
  }
  return false;
}

}  // namespace

u64 literal_bits(const std::string& text) {
  const bool floating = text.size() > 2 && text[0] == '0' && std::strchr("fFdD", text[1]) != nullptr;
  char* end = nullptr;
  const char* start = text.c_str() + (floating ? 2 : 0);
  const u64 out =
      text[0] == '-' ? static_cast<u64>(std::strtoll(start, &end, 0)) : std::strtoull(start, &end, floating ? 16 : 0);
  if (*end == 'U') ++end;
  if (end == start || *end != 0) refuse("not a literal: " + text);
  return out;
}

Module::Module(const std::string& source, Machine& machine, int device) : machine_(machine), device_(device) {
  const std::string text = strip_comments(source);
  for (size_t at = text.find_first_not_of(" \t\n\r"); at != std::string::npos;
       at = text.find_first_not_of(" \t\n\r", at)) {
    if (is_line_directive(text, at)) {
      at = std::min(text.find('\n', at), text.size());
      continue;
    }
    if (text.compare(at, 8, ".section") == 0) {  // debug information
      at = closing(text, text.find('{', at)) + 1;
      continue;
    }
    const size_t stop = text.find_first_of(";{(", at);
    if (stop == std::string::npos) break;
    const std::vector<std::string> head = words(std::string_view(text).substr(at, stop - at));
    if (has_word(head, ".entry") || has_word(head, ".func")) {
      at = read_function(text, at, has_word(head, ".entry"));
      continue;
    }
    const size_t end = text.find(';', at);
    read_variable(trim(std::string_view(text).substr(at, end - at)));
    at = end + 1;
  }
}

/// ".visible .entry name(params) directives { body }", ".func (result) name(params);" ...; where the next statement
/// begins.
size_t Module::read_function(const std::string& text, size_t from, bool entry) {
  Function f;
  f.is_entry = entry;
  size_t at = text.find(entry ? ".entry" : ".func", from) + (entry ? 6 : 5);
  at = text.find_first_not_of(" \t\n\r", at);
  if (text[at] == '(') {
    const size_t end = closing(text, at);
    f.results = split(std::string_view(text).substr(at + 1, end - at - 1), ',');
    at = end + 1;
  }
  size_t stop = text.find_first_of("({;", at);
  f.name = trim(std::string_view(text).substr(at, stop - at));
  if (text[stop] == '(') {
    const size_t end = closing(text, stop);
    f.params = split(std::string_view(text).substr(stop + 1, end - stop - 1), ',');
    stop = text.find_first_of("{;", end);
  }
  f.name = words(f.name).at(0);            // directives may follow it
  if (text[stop] == ';') return stop + 1;  // declared only
  const size_t end = closing(text, stop);
  f.body = text.substr(stop + 1, end - stop - 1);
  functions_[f.name] = std::move(f);
  return end + 1;
}

/// ".visible .global .align 4 .b8 name[16] = {...}", ".extern .shared .align 16 .b8 name[]"
void Module::read_variable(const std::string& statement) {
  const size_t equals = statement.find('=');
  std::string head = trim(statement.substr(0, equals));
  u64 count = 1;
  bool open = false;
  if (const size_t bracket = head.find('['); bracket != std::string::npos) {
    for (size_t b = bracket; b != std::string::npos; b = head.find('[', b + 1)) {
      const std::string inside = trim(head.substr(b + 1, head.find(']', b) - b - 1));
      open = open || inside.empty();
      count *= inside.empty() ? 1 : literal_bits(inside);
    }
    head = trim(head.substr(0, bracket));
  }
  const std::vector<std::string> parts = words(head);
  if (parts.empty() || parts[0] == ".pragma" || parts[0] == ".alias") return;
  std::string space, type;
  for (const std::string& part : parts) {
    if (part == ".global" || part == ".const" || part == ".shared") space = part;
    if (part[0] == '.' && is_type(part.substr(1))) type = part.substr(1);
  }
  if (space.empty() || type.empty()) refuse("not implemented at module scope: " + statement.substr(0, 120));
  const std::string& name = parts.back();
  if (space == ".shared") {
    if (has_word(parts, ".extern") || open) {
      dynamic_shared_[name] = true;
    } else {
      static_shared_[name] = static_cast<u32>(count * static_cast<u64>(type_bytes(type)));
    }
    return;
  }
  const u64 bytes = count * static_cast<u64>(type_bytes(type));
  void* at = nullptr;
  if (machine_.memory.allocate(MemoryKind::kDevice, device_, bytes, "module variable " + name, &at) != cudaSuccess) {
    refuse("no memory for the variable " + name);
  }
  variables_[name] = {reinterpret_cast<u64>(at), bytes};
  const std::vector<u8> initial =
      initial_bytes(equals == std::string::npos ? "" : trim(statement.substr(equals + 1)), type_bytes(type), count);
  u8* place = machine_.memory.access({reinterpret_cast<u64>(at), bytes, true, device_, name}, nullptr);
  std::memcpy(place, initial.data(), bytes);
}

std::vector<u8> Module::initial_bytes(const std::string& value, int element, u64 count) const {
  std::vector<u8> out(count * static_cast<u64>(element), 0);
  if (value.empty()) return out;
  std::string flat;
  for (const char c : value) {
    if (c != '{' && c != '}') flat += c;
  }
  u64 index = 0;
  for (const std::string& item : split(flat, ',')) {
    u64 bits = 0;
    std::string symbol = item;
    if (symbol.starts_with("generic(")) symbol = symbol.substr(8, symbol.size() - 9);
    if (const auto found = variables_.find(symbol); found != variables_.end()) {
      bits = found->second.address;
    } else {
      bits = literal_bits(item);
    }
    if (index >= count) refuse("more values than elements: " + value.substr(0, 80));
    std::memcpy(&out[index++ * static_cast<u64>(element)], &bits, static_cast<size_t>(element));
  }
  return out;
}

bool Module::has_kernel(const std::string& name) const {
  const auto found = functions_.find(name);
  return found != functions_.end() && found->second.is_entry;
}

const Function* Module::function(const std::string& name) const {
  const auto found = functions_.find(name);
  return found == functions_.end() ? nullptr : &found->second;
}

const Kernel& Module::kernel(const std::string& name) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<Kernel>& kernel = kernels_[name];
  if (!kernel) {
    const Function* found = function(name);
    if (found == nullptr || !found->is_entry) refuse("no kernel " + name);
    kernel = decode_kernel(*this, *found);
  }
  return *kernel;
}

}  // namespace cudasim::ptx
