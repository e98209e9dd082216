#include "core/engine/process/control_line.h"

#include <poll.h>

#include <algorithm>
#include <array>

namespace shardscope {
namespace {

constexpr std::size_t kLongestLine = 16 << 20;  // a table of a hundred thousand ranks

}  // namespace

void ControlLine::send(const nlohmann::json& message) {
  out_ += message.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  flush();
}

void ControlLine::flush() {
  const auto n = socket_.write_some(std::as_bytes(std::span(out_)));
  out_.erase(0, n ? *n : out_.size());
}

bool ControlLine::receive() {
  std::array<std::byte, 4096> buffer;
  for (;;) {
    const auto n = socket_.read_some(buffer);
    if (!n || in_.size() > kLongestLine) return false;
    if (*n == 0) return true;
    in_.append(reinterpret_cast<const char*>(buffer.data()), *n);
  }
}

std::optional<nlohmann::json> ControlLine::next() {
  const std::size_t end = in_.find('\n');
  if (end == std::string::npos) return std::nullopt;
  nlohmann::json message = nlohmann::json::parse(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(end), nullptr,
                                                 /*allow_exceptions=*/false);
  in_.erase(0, end + 1);
  return message.is_object() ? message : nlohmann::json::object();
}

std::optional<nlohmann::json> ControlLine::wait(const Deadline& deadline) {
  for (;;) {
    if (auto message = next()) return message;
    pollfd entry{socket_.fd(), POLLIN, 0};
    if (!out_.empty()) entry.events |= POLLOUT;
    ::poll(&entry, 1, deadline.left_ms());
    if (!out_.empty()) flush();
    const bool open = receive();
    if (auto message = next()) return message;
    if (!open || deadline.passed()) return std::nullopt;
  }
}

}  // namespace shardscope
