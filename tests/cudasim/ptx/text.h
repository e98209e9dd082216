#pragma once
// PTX as text: what the module and the decoder need to cut it into statements and operands.

#include <string>
#include <string_view>
#include <vector>

namespace cudasim::ptx {

/// Without comments; line ends stay.
std::string strip_comments(std::string_view text);
std::string trim(std::string_view text);
/// At `separator`, where it is not inside brackets; parts are trimmed.
std::vector<std::string> split(std::string_view text, char separator);
std::vector<std::string> words(std::string_view text);
/// The place of the bracket that closes the one at `open`.
size_t closing(std::string_view text, size_t open);

/// "f32" -> 4; 0 where it is no type.
int type_bytes(const std::string& type);
bool is_type(const std::string& type);

}  // namespace cudasim::ptx
