#pragma once
// Errors a user can cause or meet. Thrown where the request cannot go on, caught only at the edges: the command line's
// main, the window's query runner, a test. The text is one line: file, line or key, what is wrong, what would be right.
//
//   throw Error(ErrorKind::kConfig, "ds_config.json: zero_optimization.stage is 4; it must be 0, 1, 2 or 3");

#include <stdexcept>
#include <string>
#include <utility>

namespace shardscope {

enum class ErrorKind {
  kConfig,       ///< a description says something wrong or contradictory (exit code 2)
  kParse,        ///< a file is not of the format it should be (exit code 2)
  kUnsupported,  ///< legal, but not done here; the text names it (exit code 2)
  kIo,           ///< the disk or the file system said no (exit code 1, or 2 if an input file cannot be read)
  kDevice,       ///< memory, a device or a peer failed while running (exit code 1)
};

class Error : public std::runtime_error {
 public:
  /// Control characters become '?': a message stays one line, whatever a hostile file put into it.
  Error(ErrorKind kind, std::string message) : std::runtime_error(one_line(std::move(message))), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  static std::string one_line(std::string text) {
    for (char& c : text) {
      if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') c = '?';
    }
    return text;
  }
  ErrorKind kind_;
};

}  // namespace shardscope
