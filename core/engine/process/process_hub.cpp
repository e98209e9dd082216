#include "core/engine/process/process_hub.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "core/check.h"
#include "core/engine/process/shared_wire.h"
#include "core/engine/process/tcp_wire.h"
#include "core/engine/process/wire_communicator.h"
#include "core/engine/random.h"

namespace shardscope {
namespace {

using nlohmann::json;

constexpr int kTurnMs = 50;
constexpr double kBeatSeconds = 0.1;
/// Between a rank's death and the message about it: long enough for the others to run into the hole it leaves and to
/// say where.
constexpr double kSettleSeconds = 0.3;
constexpr double kByeSeconds = 2;

std::size_t to_index(int number) { return static_cast<std::size_t>(number); }

std::uint64_t key_of(const Group& group, Lane lane) {
  return random_key(0,
                    fmt::format("{}[{}] {}", group.name, fmt::join(group.ranks, ","), to_string(meeting_lane(lane))));
}

json to_json(const RankState& s) {
  return {
      {"doing", static_cast<int>(s.doing)}, {"progress", s.progress}, {"allowance", s.allowance_s}, {"at", s.where}};
}

RankState state_of(const json& j) {
  return {.doing = static_cast<RankState::Doing>(std::clamp(j.at("doing").get<int>(), 0, 2)),
          .progress = j.at("progress"),
          .allowance_s = j.at("allowance"),
          .where = j.at("at")};
}

/// Its first rank's: the others open that.
SharedMemory memory_of_node(const Joined& joined, int rank) {
  for (const RankPlace& place : joined.places) {
    if (place.node == joined.places[to_index(rank)].node) return SharedMemory::open(place.pid, place.memory_fd);
  }
  SS_CHECK(false, rank);
  return SharedMemory::create();
}

}  // namespace

ProcessHub::ProcessHub(ProcessHubOptions options)
    : rank_(options.join.rank),
      transport_(options.transport),
      far_wires_(std::move(options.far_wires)),
      joined_(join_run(std::move(options.join))),
      node_memory_(memory_of_node(joined_, rank_)),
      news_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      links_(joined_.lines.size()),
      watch_(world(), options.hang_timeout_s) {
  std::vector<Address> addresses;
  for (const RankPlace& place : joined_.places) addresses.push_back(place.data);
  connections_ = std::make_unique<Connections>(rank_, std::move(joined_.listener), std::move(addresses), joined_.token);
  for (std::size_t i = 0; i < links_.size(); ++i) {
    links_[i].open = joined_.lines[i].is_open();
    watch_.update(rank_of(i), {}, 0);
  }
  Group everybody = world_group(world(), rank_);
  everybody.name = "everybody";
  everybody_ = connect(everybody, Lane::kHost, rank_);
  thread_ = std::thread([this] { keep_in_touch(); });
}

ProcessHub::~ProcessHub() {
  leaving_.store(true);
  wake();
  thread_.join();
}

bool ProcessHub::speaks() const { return rank_ == (first_is_gone_.load() ? 1 : 0); }

void ProcessHub::check() const {
  if (!aborted_.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(mutex_);
  throw PeerStopped(fmt::format("stopped because rank {} failed: {}", failure_->rank, failure_->cause.what()));
}

// ---------------------------------------------------------------- wires

bool ProcessHub::one_node(const Group& group) const {
  return std::all_of(group.ranks.begin(), group.ranks.end(),
                     [&](int r) { return joined_.places[to_index(r)].node == joined_.places[to_index(rank_)].node; });
}

/// Ranks that share our cores, with us.
int ProcessHub::mates() const {
  const RankPlace& own = joined_.places[to_index(rank_)];
  return static_cast<int>(std::count_if(joined_.places.begin(), joined_.places.end(), [&](const RankPlace& place) {
    return place.node == own.node && place.cores == own.cores;
  }));
}

int ProcessHub::threads_per_rank() const { return std::max(1, joined_.places[to_index(rank_)].core_count / mates()); }

std::unique_ptr<Communicator> ProcessHub::connect(const Group& group, Lane lane, int rank) {
  SS_CHECK(rank == rank_ && group.ranks[to_index(group.self)] == rank, group.name, rank);
  WireEnds ends{.name = fmt::format("group {} on {}", group.name, to_string(lane)),
                .key = key_of(group, lane),
                .ranks = group.ranks,
                .self = group.self,
                .check = [this] { check(); }};
  std::unique_ptr<Wire> wire = make_wire(group, ends);
  return std::make_unique<WireCommunicator>(std::move(ends), std::move(wire));
}

std::unique_ptr<Wire> ProcessHub::make_wire(const Group& group, const WireEnds& ends) {
  const bool near = one_node(group);
  if (transport_ == Transport::kShared && !near) {
    throw Error(ErrorKind::kConfig, "the ranks are not on one machine: they have no shared memory");
  }
  if (near && (transport_ == Transport::kBest || transport_ == Transport::kShared)) {
    SharedRange range = node_memory_.range(ends.key, SharedWire::bytes(ends.size()), ends.check);
    return std::make_unique<SharedWire>(ends, std::move(range),
                                        /*spin=*/mates() <= joined_.places[to_index(rank_)].core_count);
  }
  if (far_wires_ && transport_ != Transport::kTcp) return far_wires_(ends);
  return std::make_unique<TcpWire>(
      ends, [this, key = ends.key](int peer) { return connections_->get(key, peer, [this] { check(); }); });
}

void ProcessHub::barrier() {
  std::int32_t nothing = 0;
  everybody_->all_reduce(&nothing, 1, DType::kI32, ReduceOp::kMax);
}

// ---------------------------------------------------------------- how we are, from any thread

void ProcessHub::wake() const {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(news_.get(), &one, sizeof one);
}

void ProcessHub::abort(int rank, const Error& cause) {
  {
    const std::lock_guard lock(mutex_);
    if (failure_) return;
    failure_ = RankFailure{rank, cause};
    aborted_.store(true, std::memory_order_release);
  }
  wake();
}

std::optional<RankFailure> ProcessHub::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void ProcessHub::observe(int rank, const RankState& state) {
  SS_CHECK(rank == rank_, rank);
  const std::lock_guard lock(mutex_);
  state_ = state;
}

// ---------------------------------------------------------------- the thread that keeps in touch

void ProcessHub::keep_in_touch() {
  while (!leaving_.load()) {
    wait_for_news();
    now_s_ = clock_.now_s();
    connections_->let_in();
    for (std::size_t line = 0; line < links_.size(); ++line) listen(line);
    if (now_s_ - last_beat_s_ > kBeatSeconds) beat();
    judge();
    tell_failure();
  }
  say_bye();
}

void ProcessHub::wait_for_news() {
  std::vector<pollfd> entries{{news_.get(), POLLIN, 0}};
  for (int fd : connections_->fds()) entries.push_back({fd, POLLIN, 0});
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const int unsent = joined_.lines[i].has_unsent() ? POLLOUT : 0;
    if (links_[i].open) entries.push_back({joined_.lines[i].socket().fd(), static_cast<short>(POLLIN | unsent), 0});
  }
  ::poll(entries.data(), entries.size(), kTurnMs);
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(news_.get(), &count, sizeof count);
}

void ProcessHub::listen(std::size_t i) {
  Link& link = links_[i];
  if (!link.open) return;
  ControlLine& line = joined_.lines[i];
  if (line.has_unsent()) line.flush();
  link.open = line.receive();
  try {
    while (const auto message = line.next()) take(i, *message);
  } catch (const json::exception& error) {
    abort(rank_, Error(ErrorKind::kDevice, fmt::format("cannot understand rank {}: {}", rank_of(i), error.what())));
  }
  if (!link.open && !link.said_bye) link.lost_s = now_s_;
  if (link.said_bye) link.open = false;
  if (!link.open) line = ControlLine();
}

void ProcessHub::take(std::size_t line, const json& message) {
  const int sender = rank_of(line);
  if (message.contains("abort")) {
    if (message["abort"] == 0 && rank_ == 0) first_is_gone_.store(true);  // we did not answer: another says so
    abort(message["abort"], Error(static_cast<ErrorKind>(message.at("kind").get<int>()), message.at("why")));
  } else if (message.contains("bye")) {
    links_[line].said_bye = true;
    watch_.forget(sender);
  } else {
    RankState state = state_of(message);
    if (rank_ != 0) state.doing = RankState::Doing::kOther;  // rank 0 judges itself; we, whether it is there
    watch_.update(sender, state, now_s_);
  }
}

void ProcessHub::beat() {
  last_beat_s_ = now_s_;
  RankState state;
  {
    const std::lock_guard lock(mutex_);
    state = state_;
  }
  for (std::size_t i = 0; i < links_.size(); ++i) {  // who does not read does not get more
    if (links_[i].open && !joined_.lines[i].has_unsent()) joined_.lines[i].send(to_json(state));
  }
  if (rank_ != 0) state.doing = RankState::Doing::kOther;
  watch_.update(rank_, state, now_s_);
}

/// Rank 0 judges everybody, the others rank 0.
void ProcessHub::judge() {
  for (std::size_t line = 0; line < links_.size(); ++line) {
    if (links_[line].lost_s && now_s_ - *links_[line].lost_s > kSettleSeconds) blame_lost(line);
  }
  if (const auto found = watch_.find(now_s_)) blame(found->rank, found->cause);
}

void ProcessHub::blame_lost(std::size_t line) {
  links_[line].lost_s.reset();
  const int rank = rank_of(line);
  const RankPlace& place = joined_.places[to_index(rank)];
  blame(rank, Error(ErrorKind::kDevice,
                    fmt::format("died (process {} on {}); {}", place.pid, place.host, watch_.places(rank))));
  watch_.forget(rank);
}

void ProcessHub::blame(int rank, const Error& cause) {
  if (rank_ != 0 && rank == 0 && !aborted_.load()) first_is_gone_.store(true);
  abort(rank, cause);
}

void ProcessHub::tell_failure() {
  if (told_ || !aborted_.load(std::memory_order_acquire)) return;
  told_ = true;
  const RankFailure failure = *this->failure();
  for (std::size_t i = 0; i < links_.size(); ++i) {
    if (!links_[i].open) continue;
    joined_.lines[i].send(
        {{"abort", failure.rank}, {"kind", static_cast<int>(failure.cause.kind())}, {"why", failure.cause.what()}});
  }
}

/// Lines close when both sides have read to the end, so that nothing said is lost.
void ProcessHub::say_bye() {
  tell_failure();
  for (std::size_t i = 0; i < links_.size(); ++i) {
    if (!links_[i].open) continue;
    joined_.lines[i].send({{"bye", rank_}});
  }
  const Deadline deadline(kByeSeconds);
  const auto is_open = [](const Link& link) { return link.open; };
  while (std::any_of(links_.begin(), links_.end(), is_open) && !deadline.passed()) {
    for (std::size_t i = 0; i < links_.size(); ++i) {
      if (links_[i].open && !joined_.lines[i].has_unsent()) joined_.lines[i].finish();
      listen(i);
    }
    wait_for_news();
  }
}

}  // namespace shardscope
