#include "core/engine/process/join.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "core/check.h"
#include "core/engine/waiting.h"
#include "core/error.h"

namespace shardscope {
namespace {

using nlohmann::json;

constexpr int kProtocol = 1;          // of this file and process_hub.cpp: both sides must speak the same
constexpr double kAnswerSeconds = 5;  // for one answer of a process that is there
constexpr int kPings = 8;             // the fastest one measures the clocks best

std::string first_line(const char* path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

std::string name_space(const char* kind) {
  std::error_code error;
  return std::filesystem::read_symlink(fmt::format("/proc/self/ns/{}", kind), error).string();
}

const std::string& boot_id() {
  static const std::string id = first_line("/proc/sys/kernel/random/boot_id");
  return id;
}

/// Processes with the same one read the same monotonic clock.
std::string clock_id() { return boot_id() + name_space("time"); }

bool is_loopback(const std::string& host) {
  return host.starts_with("127.") || host == "::1" || host.starts_with("::ffff:127.");
}

RankPlace own_place(const SharedMemory& memory) {
  RankPlace place{.node = fmt::format("{} {} {} {}", boot_id(), name_space("pid"), name_space("net"), ::getuid()),
                  .pid = ::getpid(),
                  .memory_fd = memory.fd()};
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  place.host = host.data();
  cpu_set_t cores;
  CPU_ZERO(&cores);
  if (::sched_getaffinity(0, sizeof cores, &cores) != 0) CPU_SET(0, &cores);
  place.core_count = CPU_COUNT(&cores);
  for (std::size_t i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &cores)) place.cores += std::to_string(i) + " ";
  }
  return place;
}

json to_json(const RankPlace& p) {
  return {{"node", p.node},   {"host", p.host},        {"pid", p.pid},           {"memory_fd", p.memory_fd},
          {"cores", p.cores}, {"count", p.core_count}, {"address", p.data.host}, {"port", p.data.port}};
}

RankPlace place_of(const json& j) {
  return {.node = j.at("node"),
          .host = j.at("host"),
          .pid = j.at("pid"),
          .memory_fd = j.at("memory_fd"),
          .cores = j.at("cores"),
          .core_count = j.at("count"),
          .data = {j.at("address"), j.at("port")}};
}

[[noreturn]] void refuse(const std::string& text) { throw Error(ErrorKind::kConfig, text); }

// ---------------------------------------------------------------- rank 0

/// Takes the others in one after the other, then gives all the table.
class Host {
 public:
  explicit Host(JoinOptions& options)
      : options_(options),
        listener_(options.listener ? std::move(*options.listener) : open_at(options)),
        lines_(static_cast<std::size_t>(options.world)),
        places_(lines_.size()),
        token_((std::uint64_t{std::random_device{}()} << 32) | std::random_device{}()) {}

  Joined run() {
    SharedMemory memory = SharedMemory::create();
    Listener data = Listener::open(data_host(), 0);
    places_[0] = own_place(memory);
    places_[0].data.port = data.port();
    take_in();
    json table = json::array();
    for (const RankPlace& place : places_) table.push_back(to_json(place));
    for (ControlLine& line : lines_) {
      if (line.is_open()) line.send({{"token", token_}, {"ranks", table}});
    }
    return {std::move(places_), std::move(lines_), token_, 0, std::move(memory), std::move(data)};
  }

 private:
  /// At the address that the others are told; at all of them if it is none of ours (another name for this machine).
  static Listener open_at(const JoinOptions& options) {
    try {
      return Listener::open(options.hosts.front(), options.port);
    } catch (const Error&) {
      return Listener::open("", options.port);
    }
  }

  /// Where nobody but this machine can come, TCP wires do not listen to others either.
  std::string data_host() const { return is_loopback(listener_.host()) ? listener_.host() : ""; }

  void take_in() {
    const Deadline deadline(options_.timeout_s);
    while (!missing().empty()) {
      pollfd entry{listener_.fd(), POLLIN, 0};
      if (::poll(&entry, 1, deadline.left_ms()) <= 0 && deadline.passed()) {
        throw Error(ErrorKind::kDevice,
                    fmt::format("rank {} of {} did not come to {}:{} within {:.0f} s; were {} processes started?",
                                fmt::join(missing(), ", "), options_.world, options_.hosts.front(), listener_.port(),
                                options_.timeout_s, options_.world));
      }
      if (auto socket = listener_.accept()) greet(ControlLine(std::move(*socket)));
    }
  }

  std::vector<int> missing() const {
    std::vector<int> ranks;
    for (int r = 1; r < options_.world; ++r) {
      if (!lines_[static_cast<std::size_t>(r)].is_open()) ranks.push_back(r);
    }
    return ranks;
  }

  /// A stranger is not let in; one of us that does not fit ends the run, there and here.
  void greet(ControlLine line) {
    const auto hello = line.wait(Deadline(kAnswerSeconds));
    if (!hello || hello->value("shardscope", 0) != kProtocol) return;
    const int rank = hello->value("rank", -1), world = hello->value("world", -1);
    try {
      if (world != options_.world) {
        refuse(fmt::format("rank {} was started as one of {} ranks, rank 0 as one of {}", rank, world, options_.world));
      }
      if (rank < 1 || rank >= world || lines_[static_cast<std::size_t>(rank)].is_open()) {
        refuse(fmt::format("two processes say that they are rank {}", rank));
      }
    } catch (const Error& error) {
      line.send({{"refused", error.what()}});
      throw;
    }
    line.send({{"data_host", data_host()}, {"clock", clock_id()}});
    while (const auto message = line.wait(Deadline(kAnswerSeconds))) {
      if (message->contains("ping")) {
        line.send({{"now", steady_now_ns()}});
        continue;
      }
      places_[static_cast<std::size_t>(rank)] = place_of(*message);
      lines_[static_cast<std::size_t>(rank)] = std::move(line);
      return;
    }
  }

  const JoinOptions& options_;
  Listener listener_;
  std::vector<ControlLine> lines_;
  std::vector<RankPlace> places_;
  const std::uint64_t token_;
};

// ---------------------------------------------------------------- other ranks

class Guest {
 public:
  explicit Guest(const JoinOptions& options) : options_(options), deadline_(options.timeout_s) {}

  Joined run() {
    connect();
    line_.send({{"shardscope", kProtocol}, {"rank", options_.rank}, {"world", options_.world}});
    const json welcome = answer();
    const std::int64_t ahead_ns = welcome.at("clock") == clock_id() ? 0 : measure_clock();
    SharedMemory memory = SharedMemory::create();
    Listener data = Listener::open(welcome.at("data_host"), 0);
    RankPlace own = own_place(memory);
    own.data = {line_.socket().local_host(), data.port()};
    line_.send(to_json(own));
    const json table = answer();
    Joined joined{{}, {}, table.at("token"), ahead_ns, std::move(memory), std::move(data)};
    for (const json& place : table.at("ranks")) joined.places.push_back(place_of(place));
    for (RankPlace& place : joined.places) {  // on rank 0's machine: where we reached that
      if (place.data.host.empty() || is_loopback(place.data.host)) place.data.host = host_;
    }
    joined.lines.push_back(std::move(line_));
    return joined;
  }

 private:
  void connect() {
    for (std::size_t turn = 0;; ++turn) {
      host_ = options_.hosts[turn % options_.hosts.size()];
      try {
        const bool only = options_.hosts.size() == 1;
        line_ = ControlLine(Socket::connect(host_, options_.port, only ? deadline_ : Deadline(1)));
        return;
      } catch (const Error& error) {
        if (deadline_.passed()) {
          throw Error(error.kind(), fmt::format("rank {}: rank 0 does not answer within {:.0f} s: {}", options_.rank,
                                                options_.timeout_s, error.what()));
        }
      }
    }
  }

  json answer() {
    auto message = line_.wait(deadline_);
    if (!message) {
      throw Error(ErrorKind::kDevice, fmt::format("rank {}: rank 0 at {}:{} left before the run began", options_.rank,
                                                  host_, options_.port));
    }
    if (message->contains("refused")) refuse(message->at("refused"));
    return *message;
  }

  /// Our clock minus rank 0's, at the middle of the fastest of some round trips: good to half of its time.
  std::int64_t measure_clock() {
    std::int64_t best_ns = std::numeric_limits<std::int64_t>::max(), ahead_ns = 0;
    for (int i = 0; i < kPings; ++i) {
      const std::int64_t start = steady_now_ns();
      line_.send({{"ping", i}});
      const std::int64_t theirs = answer().at("now"), trip = steady_now_ns() - start;
      if (trip < best_ns) {
        best_ns = trip;
        ahead_ns = start + trip / 2 - theirs;
      }
    }
    return ahead_ns;
  }

  const JoinOptions& options_;
  const Deadline deadline_;
  std::string host_;
  ControlLine line_;
};

}  // namespace

Joined join_run(JoinOptions options) {
  SS_CHECK(options.world >= 2 && options.rank >= 0 && options.rank < options.world, options.rank, options.world);
  SS_CHECK(!options.hosts.empty());
  try {
    return options.rank == 0 ? Host(options).run() : Guest(options).run();
  } catch (const json::exception& error) {
    throw Error(ErrorKind::kDevice, fmt::format("rank {}: cannot understand rank 0: {}", options.rank, error.what()));
  }
}

}  // namespace shardscope
