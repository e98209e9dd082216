#include "profiler/import/kineto/json_window.h"

#include <algorithm>

namespace shardscope {
namespace {

void append_utf8(std::string& out, unsigned code) {
  const auto put = [&](unsigned byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6), put(0x80 | (code & 0x3f));
  } else if (code < 0x10000) {
    put(0xe0 | code >> 12), put(0x80 | (code >> 6 & 0x3f)), put(0x80 | (code & 0x3f));
  } else {
    put(0xf0 | code >> 18), put(0x80 | (code >> 12 & 0x3f)), put(0x80 | (code >> 6 & 0x3f)), put(0x80 | (code & 0x3f));
  }
}

/// Four hexadecimal digits; a large number if they are not there.
unsigned hex4(std::string_view text) {
  unsigned value = 0;
  if (text.size() < 4) return ~0U;
  for (char c : text.substr(0, 4)) {
    const char lower = static_cast<char>(c | 0x20);
    const int digit = c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
    if (digit < 0) return ~0U;
    value = value * 16 + static_cast<unsigned>(digit);
  }
  return value;
}

/// Of what follows "\u"; returns how many characters it took.
std::size_t append_code(std::string& out, std::string_view text) {
  unsigned code = hex4(text);
  if (code == ~0U) return out += '?', 0;
  if (code < 0xd800 || code >= 0xe000) return append_utf8(out, code), 4;
  const unsigned low = text.size() >= 10 && text[4] == '\\' && text[5] == 'u' ? hex4(text.substr(6)) : ~0U;
  if (code >= 0xdc00 || low < 0xdc00 || low >= 0xe000) return out += '?', 4;
  append_utf8(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
  return 10;
}

}  // namespace

std::string_view unescaped(std::string_view text, std::string& buffer) {
  std::size_t slash = text.find('\\');
  if (slash == std::string_view::npos) return text;
  buffer.clear();
  while (slash != std::string_view::npos && slash + 1 < text.size()) {
    buffer += text.substr(0, slash);
    const char c = text[slash + 1];
    text.remove_prefix(slash + 2);
    switch (c) {
      case 'n':
      case 't':
      case 'r':
      case 'b':
      case 'f':
        buffer += ' ';
        break;
      case 'u':
        text.remove_prefix(append_code(buffer, text));
        break;
      default:
        buffer += c;
    }
    slash = text.find('\\');
  }
  buffer += text;
  return buffer;
}

bool JsonCursor::skip_nested() {
  int depth = 0;
  std::string_view ignored;
  do {
    switch (peek()) {
      case '{':
      case '[':
        ++depth, ++at_;
        break;
      case '}':
      case ']':
        --depth, ++at_;
        break;
      case '"':
        if (!text(ignored)) return false;
        break;
      case ',':
      case ':':
        ++at_;
        break;
      default:
        if (cut_ || !scalar(ignored)) return false;
    }
  } while (depth > 0);
  return true;
}

JsonWindow::JsonWindow(ImportSource& source) : source_(source), data_(kWindow + 1, '\0') { more(); }

bool JsonWindow::more() {
  const std::size_t left = end_ - at_;
  if (left >= kLargestValue) return false;
  std::memmove(data_.data(), data_.data() + at_, left);
  at_ = 0;
  end_ = left;
  if (left * 2 > data_.size()) data_.resize(data_.size() * 2);
  std::size_t n = 0;
  while (end_ + 1 < data_.size() && (n = source_.read(data_.data() + end_, data_.size() - 1 - end_)) > 0) end_ += n;
  data_[end_] = '\0';
  return end_ > left;
}

/// Reads, with more of the source as long as the window ends in it.
template <class Read>
bool JsonWindow::read(Read&& read) {
  for (;;) {
    JsonCursor at = cursor();
    if (read(at)) return accept(at), true;
    if (!at.cut() || !more()) return false;
  }
}

char JsonWindow::peek() {
  for (;;) {
    JsonCursor at = cursor();
    const char next = at.peek();
    accept(at);
    if (!at.cut()) return next;
    if (!more()) return '\0';
  }
}

bool JsonWindow::take(char c) { return peek() == c && (++at_, true); }

bool JsonWindow::value(std::string& value) {
  std::string_view found;
  if (!read([&](JsonCursor& at) { return at.value(found); })) return false;
  value = found;
  return true;
}

bool JsonWindow::text(std::string& value) {
  std::string_view found;
  if (!read([&](JsonCursor& at) { return at.text(found); })) return false;
  value = found;
  return true;
}

/// Of any size: token by token.
bool JsonWindow::skip() {
  int depth = 0;
  do {
    const char next = peek();
    if (next == '\0') return false;
    if (next == '{' || next == '[') {
      ++depth, ++at_;
    } else if (next == '}' || next == ']') {
      --depth, ++at_;
    } else if (next == ',' || next == ':') {
      if (depth == 0) return false;
      ++at_;
    } else if (!read([](JsonCursor& at) { return at.skip(); })) {
      return false;
    }
  } while (depth > 0);
  return depth == 0;
}

bool JsonWindow::find(std::string_view word) {
  for (;;) {
    const std::size_t found = rest().find(word);
    if (found != std::string_view::npos) return at_ += found, true;
    at_ = end_ - std::min(end_ - at_, word.size());
    if (!more()) return at_ = end_, false;
  }
}

}  // namespace shardscope
