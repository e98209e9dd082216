#pragma once
// JSON of any length through a window of some megabytes: values are read in place, and when the window ends in the
// middle of one it moves on and the value is read again. Tolerant where old writers were wrong: control characters and
// unescaped quotes inside of texts.
//
//   JsonWindow window(source);
//   while (window.take('{')) ...
//   std::string_view text = window.value(limit);    // the whole value, as it stands there
//
// JsonCursor reads within the window; cut() says that the bytes, not the JSON, have ended.

#include <cstring>
#include <string>
#include <string_view>

#include "profiler/import/import_source.h"

namespace shardscope {

/// Reads from bytes that end with a 0. Views are of those bytes: texts with their escapes, numbers as written.
class JsonCursor {
 public:
  JsonCursor(const char* at, const char* end) : at_(at), end_(end) {}
  const char* at() const { return at_; }
  bool cut() const { return cut_; }

  char peek() {
    while (static_cast<unsigned char>(*at_) <= ' ' && at_ != end_) ++at_;
    if (at_ == end_) cut_ = true;
    return *at_;
  }
  bool take(char c) { return peek() == c && (++at_, true); }
  /// A text, without its quotes.
  bool text(std::string_view& value);
  /// A text, number or word as it is; of an object or array its whole text.
  bool value(std::string_view& value);
  bool skip();

 private:
  bool skip_nested();
  bool scalar(std::string_view& value);
  const char *at_, *end_;
  bool cut_ = false;
};

class JsonWindow {
 public:
  explicit JsonWindow(ImportSource& source);
  /// The rest of the window. After a read that was cut(), more() and once again from the same place.
  JsonCursor cursor() const { return {data_.data() + at_, data_.data() + end_}; }
  void accept(const JsonCursor& cursor) { at_ = static_cast<std::size_t>(cursor.at() - data_.data()); }
  /// Whether one value is all that the window may hold: there is no more() of it.
  bool is_full() const { return end_ - at_ >= kLargestValue; }
  /// Moves the rest to the front and reads on; false at the end of the source, or if the rest is kLargestValue long.
  bool more();

  char peek();        ///< next character that is not blank; 0 at the end
  bool take(char c);  ///< if it is this one
  /// A value of any kind. False if the source ends in it, or it is larger than the window may be.
  bool value(std::string& value);
  bool text(std::string& value);
  bool skip();  ///< a value of any size
  /// To the next place where `word` stands; false if there is none. Stands at it.
  bool find(std::string_view word);
  void advance(std::size_t bytes) { at_ = std::min(at_ + bytes, end_); }
  std::string_view rest() const { return {data_.data() + at_, end_ - at_}; }

 private:
  static constexpr std::size_t kWindow = 1 << 20, kLargestValue = 32 << 20;
  template <class Read>
  bool read(Read&& read);
  ImportSource& source_;
  std::string data_;  ///< [at_, end_) is unread, then a 0
  std::size_t at_ = 0, end_ = 0;
};

/// A text as JSON means it: escapes resolved. Views that have none are given back as they are.
std::string_view unescaped(std::string_view text, std::string& buffer);

// ---------------------------------------------------------------- implementation of what is called per value

inline bool JsonCursor::text(std::string_view& value) {
  if (!take('"')) return false;
  const char* from = at_;
  for (const char* quote = from;; ++quote) {
    quote = static_cast<const char*>(std::memchr(quote, '"', static_cast<std::size_t>(end_ - quote)));
    if (quote == nullptr) return cut_ = true, false;
    if (quote[-1] == '\\') {
      const char* slash = quote - 1;
      while (slash >= from && *slash == '\\') --slash;
      if ((quote - slash) % 2 == 0) continue;  // an odd number of backslashes: the quote is escaped
    }
    const char* next = quote + 1;
    while (static_cast<unsigned char>(*next) <= ' ' && next != end_) ++next;
    if (next == end_) return cut_ = true, false;
    if (*next != ',' && *next != ':' && *next != '}' && *next != ']') continue;  // a quote that should be escaped
    value = {from, static_cast<std::size_t>(quote - from)};
    at_ = quote + 1;
    return true;
  }
}

inline bool JsonCursor::scalar(std::string_view& value) {
  const char* from = at_;
  while (at_ != end_ && *at_ != ',' && *at_ != '}' && *at_ != ']' && static_cast<unsigned char>(*at_) > ' ' &&
         *at_ != '"' && *at_ != ':' && *at_ != '{' && *at_ != '[')
    ++at_;
  if (at_ == end_) return cut_ = true, false;
  value = {from, static_cast<std::size_t>(at_ - from)};
  return !value.empty();
}

inline bool JsonCursor::value(std::string_view& value) {
  const char first = peek();
  if (first == '"') return text(value);
  if (first != '{' && first != '[') return scalar(value);
  const char* from = at_;
  if (!skip_nested()) return false;
  value = {from, static_cast<std::size_t>(at_ - from)};
  return true;
}

inline bool JsonCursor::skip() {
  std::string_view ignored;
  return value(ignored);
}

}  // namespace shardscope
