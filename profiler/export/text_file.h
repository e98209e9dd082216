#pragma once
// A text that is written from begin to end, in large pieces. Goes away again unless finish() was reached.
//
//   TextFile out("trace.json");
//   out.add("{}", 12);
//   out.finish();

#include <fmt/format.h>

#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace shardscope {

class TextFile {
 public:
  /// Throws Error{kConfig} if it cannot be opened for writing.
  explicit TextFile(std::string path);
  ~TextFile();
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;

  template <class... Values>
  void add(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(waiting_), format, std::forward<Values>(values)...);
    if (waiting_.size() >= kPiece) flush();
  }
  void text(std::string_view text) {
    waiting_ += text;
    if (waiting_.size() >= kPiece) flush();
  }
  /// Throws Error{kIo} if something could not be written, as add() does.
  void finish();
  const std::string& path() const { return path_; }

 private:
  static constexpr std::size_t kPiece = 1 << 18;
  void flush();
  [[noreturn]] void fail() const;
  std::string path_, waiting_;
  std::FILE* file_;
};

}  // namespace shardscope
