#include "tests/cudasim/nccl/board.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "tests/cudasim/core/machine.h"

namespace cudasim {

namespace {

namespace fs = std::filesystem;

constexpr u64 kLookEveryNs = 5'000'000;
constexpr std::string_view kPrefix = "cudasim_nccl_";
constexpr time_t kYoungS = 60;  ///< as long as it may take until all have joined (group.cpp)

/// A process that ended is gone also while nobody has waited for it.
bool lives(s32 process) {
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  if (!std::getline(stat, text)) return false;
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] != 'Z' &&
         text[name_end + 2] != 'X';
}

/// Nobody that is known of could still want it: its maker and all that have joined are gone.
bool is_left_over(const fs::path& file) {
  const std::string name = file.filename().string();
  struct stat is {};
  if (name.rfind(kPrefix, 0) != 0 || stat(file.c_str(), &is) != 0) return false;
  if (time(nullptr) - is.st_mtime < kYoungS || lives(std::atoi(name.c_str() + kPrefix.size()))) return false;
  if (is.st_size != sizeof(Shared)) return true;
  const Board board("/" + name);
  if (!board.valid()) return false;
  const auto& slots = board->slots;
  return std::none_of(std::begin(slots), std::end(slots),
                      [](const Slot& slot) { return slot.process != 0 && lives(slot.process); });
}

void remove_left_over() {
  std::error_code ignored;
  for (const auto& file : fs::directory_iterator("/dev/shm", ignored)) {
    if (is_left_over(file.path())) unlink(file.path().c_str());
  }
}

}  // namespace

std::string Board::create() {
  remove_left_over();
  static std::atomic<int> made = 0;
  const std::string name = fmt::format("/{}{}_{}_{:x}", kPrefix, getpid(), made++, now_ns());
  return Board(name, true).valid() ? name : "";
}

Board::Board(const std::string& name, bool make) : name_(name) {
  const int file = shm_open(name.c_str(), make ? O_CREAT | O_RDWR : O_RDWR, 0600);
  if (file < 0) return;
  if (!make || ftruncate(file, sizeof(Shared)) == 0) {
    void* at = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    shared_ = at == MAP_FAILED ? nullptr : static_cast<Shared*>(at);
  }
  close(file);
}

/// Given up before all had joined: nobody will take its name away.
Board::~Board() {
  if (ranks_ > 0 && !complete(ranks_)) shm_unlink(name_.c_str());
  if (shared_ != nullptr) munmap(shared_, sizeof(Shared));
}

void Board::join(int rank, int ranks, int gpu) {
  ranks_ = ranks;
  Slot& slot = shared_->slots[rank];
  slot.gpu = gpu;
  slot.process.store(getpid());
  if (shared_->joined.fetch_add(1) + 1 == ranks) shm_unlink(name_.c_str());  // all have it open: it goes with the last
}

int Board::missing(int me, int ranks) {
  const u64 now = now_ns();
  const bool look = now >= next_look_;
  if (look) next_look_ = now + kLookEveryNs;
  for (int rank = 0; rank < ranks; ++rank) {
    const Slot& slot = shared_->slots[rank];
    if (rank == me || slot.finished) continue;
    if (slot.left) return rank;
    if (look && slot.process != getpid() && !lives(slot.process)) gone_ = rank;
  }
  return gone_;
}

}  // namespace cudasim
