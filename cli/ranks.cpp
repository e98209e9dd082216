#include "cli/ranks.h"

#include <fmt/format.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <sstream>

#include "core/check.h"
#ifdef SHARDSCOPE_HAS_MPI
#include "core/engine/mpi/mpi_world.h"
#endif

namespace shardscope::cli {
namespace {

constexpr std::size_t kTextBytes = 1024;

/// SHARDSCOPE_TRANSPORT: how all groups talk, to measure one or to work around another.
Transport transport_wanted() {
  const std::string name = process_environment()("SHARDSCOPE_TRANSPORT").value_or("");
  if (name.empty()) return Transport::kBest;
  if (name == "shared") return Transport::kShared;
  if (name == "tcp") return Transport::kTcp;
  if (name == "mpi") return Transport::kFar;
  throw Error(ErrorKind::kConfig, "SHARDSCOPE_TRANSPORT is \"" + name + "\"; it must be shared, tcp or mpi");
}

}  // namespace

#ifdef SHARDSCOPE_HAS_MPI

namespace {

/// Numeric addresses of this machine, those that other machines may reach first.
std::string own_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return "127.0.0.1";
  std::string far;
  for (const ifaddrs* a = list; a != nullptr; a = a->ifa_next) {
    if (a->ifa_addr == nullptr || (a->ifa_flags & IFF_UP) == 0 || (a->ifa_flags & IFF_LOOPBACK) != 0) continue;
    const int family = a->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    std::array<char, NI_MAXHOST> host{};
    const socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (::getnameinfo(a->ifa_addr, size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST) == 0) {
      far += host.data() + std::string(" ");
    }
  }
  ::freeifaddrs(list);
  return far + "127.0.0.1";
}

}  // namespace

/// MPI says who we are and where rank 0 listens.
class Ranks::Mpi {
 public:
  explicit Mpi(Launch& launch) {
    if (world_.size() != launch.world) {
      throw Error(
          ErrorKind::kConfig,
          fmt::format("{} started {} processes, but MPI finds {}: the launcher does not speak this MPI's language "
                      "(with srun: --mpi=pmix or --mpi=pmi2); or set MASTER_ADDR and MASTER_PORT",
                      launch.by, launch.world, world_.size()));
    }
    launch.rank = world_.rank();
  }
  void find_first(JoinOptions& join) {
    if (join.rank == 0) join.listener = Listener::open(world_.one_machine() ? "127.0.0.1" : "", 0);
    const std::string places = world_.one_machine() ? "127.0.0.1" : own_addresses();
    std::istringstream words(world_.share(join.rank == 0 ? fmt::format("{} {}", join.listener->port(), places) : ""));
    words >> join.port;
    for (std::string host; words >> host;) join.hosts.push_back(host);
  }
  bool needed_for(Transport transport) const { return transport == Transport::kFar || !world_.one_machine(); }
  WireFactory wires() const { return world_.wires(); }
  static void finish() { MpiWorld::finish(); }

 private:
  MpiWorld world_;
};

#else

class Ranks::Mpi {
 public:
  explicit Mpi(const Launch& launch) {
    throw Error(ErrorKind::kUnsupported,
                fmt::format("started by {}, but this build has no MPI (package libopenmpi-dev); or start it with RANK, "
                            "WORLD_SIZE, MASTER_ADDR and MASTER_PORT set",
                            launch.by));
  }
  void find_first(JoinOptions&) {}
  bool needed_for(Transport) const { return false; }
  WireFactory wires() const { return nullptr; }
  static void finish() {}
};

#endif

Ranks::Ranks(const std::string& launcher, double hang_timeout_s) {
  if (launcher != "threads") launch_ = detect_launch(process_environment());
  if (launch_) join(hang_timeout_s);
}

Ranks::~Ranks() {
  const bool failed = hub_ == nullptr || hub_->failure();
  hub_.reset();
  if (mpi_ != nullptr && !failed) Mpi::finish();
}

void Ranks::join(double hang_timeout_s) {
  if (launch_->has_mpi) mpi_ = std::make_unique<Mpi>(*launch_);
  ProcessHubOptions options;
  options.transport = transport_wanted();
  options.hang_timeout_s = hang_timeout_s;
  options.join.rank = launch_->rank;
  options.join.world = launch_->world;
  options.join.port = launch_->port;
  if (!launch_->host.empty()) options.join.hosts = {launch_->host};
  if (mpi_ != nullptr) {
    mpi_->find_first(options.join);
    if (mpi_->needed_for(options.transport)) options.far_wires = mpi_->wires();
  }
  if (options.transport == Transport::kFar && !options.far_wires) {
    throw Error(ErrorKind::kConfig,
                "SHARDSCOPE_TRANSPORT is \"mpi\", but there is no MPI that takes calls from threads");
  }
  if (mpi_ != nullptr && !options.far_wires) {  // we have met: it has done its part
    Mpi::finish();
    mpi_.reset();
  }
  hub_ = std::make_unique<ProcessHub>(std::move(options));
}

void Ranks::check_world(int ranks) const {
  if (hub_ == nullptr || hub_->world() == ranks) return;
  throw Error(ErrorKind::kConfig,
              fmt::format("{} processes were started (by {}), but the job has {} rank{}: start that "
                          "many, or give --ranks {}",
                          hub_->world(), launch_->by, ranks, ranks == 1 ? "" : "s", hub_->world()));
}

void Ranks::meet() const {
  if (hub_ != nullptr) hub_->barrier();
}

std::vector<std::string> Ranks::gather(const std::string& text) const {
  if (hub_ == nullptr) return {text};
  Group group = world_group(hub_->world(), rank());
  group.name = "command";
  std::array<char, kTextBytes> own{};
  text.copy(own.data(), own.size() - 1);
  std::vector<std::array<char, kTextBytes>> all(static_cast<std::size_t>(hub_->world()));
  hub_->connect(group, Lane::kHost, rank())->all_gather(own.data(), all.data(), kTextBytes, DType::kI8);
  std::vector<std::string> texts;
  for (const auto& theirs : all) texts.emplace_back(theirs.data());
  return texts;
}

void Ranks::abort(const Error& cause) const {
  if (hub_ != nullptr) hub_->abort(rank(), cause);
}

Error Ranks::cause_of(const Error& own) const {
  const auto failure = hub_ == nullptr ? std::nullopt : hub_->failure();
  return failure ? failure->cause : own;
}

void Ranks::say(const Error& error) const {
  if (!speaks() || said_.exchange(true)) return;
  fmt::print(stderr, "shardscope: {}\n", error.what());
}

}  // namespace shardscope::cli
