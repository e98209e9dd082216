#pragma once
// TCP connections between the ranks of a run, made when a wire first needs one: the rank with the higher number dials.
//
//   Socket there = connections.get(key, /*peer=*/3, check);     // both sides, in any order

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/engine/process/socket.h"

namespace shardscope {

struct Address {
  std::string host;
  int port = 0;
};

class Connections {
 public:
  /// `token` is the run's: who does not know it is not let in.
  Connections(int rank, Listener listener, std::vector<Address> addresses, std::uint64_t token);
  /// Our connection to `peer` for the group and lane `key`. Waits until the peer has asked for it too, calling `check`
  /// meanwhile. Throws Error{kDevice} if there is nobody. Thread-safe.
  Socket get(std::uint64_t key, int peer, const std::function<void()>& check);

  // for the one thread that lets others in
  std::vector<int> fds() const;  ///< to wait for input on
  void let_in();                 ///< takes what has come

 private:
  struct Hello {
    std::uint64_t token = 0, key = 0;
    std::int64_t rank = 0;
  };
  struct Guest {  // has not said yet who it is
    Socket socket;
    Hello hello;
    std::size_t read = 0;
  };
  Socket dial(std::uint64_t key, int peer) const;
  bool still_a_guest(Guest& guest);

  const int rank_;
  Listener listener_;
  const std::vector<Address> addresses_;  // by rank
  const std::uint64_t token_;
  std::vector<Guest> guests_;
  std::mutex mutex_;
  std::condition_variable came_;
  std::map<std::pair<std::uint64_t, int>, Socket> waiting_;  // by key and rank
};

}  // namespace shardscope
