#include "tests/cudasim/nccl/board.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fstream>

#include "tests/cudasim/core/machine.h"

namespace cudasim {

namespace {

constexpr u64 kLookEveryNs = 5'000'000;

/// A process that ended is gone also while nobody has waited for it.
bool lives(s32 process) {
  std::ifstream stat("/proc/" + std::to_string(process) + "/stat");
  std::string text;
  if (!std::getline(stat, text)) return false;
  const size_t name_end = text.rfind(')');
  return name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] != 'Z' &&
         text[name_end + 2] != 'X';
}

}  // namespace

std::string Board::create() {
  static std::atomic<int> made = 0;
  const std::string name = fmt::format("/cudasim_nccl_{}_{}_{:x}", getpid(), made++, now_ns());
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

Board::~Board() {
  if (shared_ != nullptr) munmap(shared_, sizeof(Shared));
}

void Board::join(int rank, int ranks, int gpu) {
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
