#pragma once
// One JSON object a line, both ways, on a connection between rank 0 and another rank: who is there, how they are, and
// why the run must stop.
//
//   line.send({{"type", "beat"}, {"where", "..."}});
//   while (auto message = line.next()) ...

#include <deque>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/engine/process/socket.h"

namespace shardscope {

class ControlLine {
 public:
  ControlLine() = default;
  explicit ControlLine(Socket socket) : socket_(std::move(socket)) {}
  /// Writes what the connection takes now and keeps the rest for flush(). A broken connection swallows it.
  void send(const nlohmann::json& message);
  void flush();
  /// Reads what is there. False once the other side is gone; what it said before can still be had from next().
  bool receive();
  std::optional<nlohmann::json> next();  ///< the next whole message, if there is one; {} for what is none
  /// Waits for a message. Nothing if the time is over or the other side is gone.
  std::optional<nlohmann::json> wait(const Deadline& deadline);

  void finish() { socket_.finish_writing(); }
  bool is_open() const { return static_cast<bool>(socket_); }
  bool has_unsent() const { return !out_.empty(); }
  const Socket& socket() const { return socket_; }

 private:
  Socket socket_;
  std::string in_, out_;
};

}  // namespace shardscope
