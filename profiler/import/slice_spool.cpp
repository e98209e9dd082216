#include "profiler/import/slice_spool.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "core/check.h"
#include "core/error.h"

namespace shardscope {
namespace {

/// Blocks that are read at the same time, some 30 KB each. A track that is nearly in order needs two or three.
constexpr std::size_t kMostRuns = 512;

/// A file that goes away with its descriptor.
int open_unnamed(const std::string& folder) {
  const int file = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file >= 0) return file;
  std::string name = folder + "/shardscope-import-XXXXXX";  // file systems without O_TMPFILE
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

[[noreturn]] void fail(const std::string& folder, const char* what) {
  throw Error(ErrorKind::kIo, folder + ": " + what + ": " + std::strerror(errno));
}

}  // namespace

SliceSpool::SliceSpool(const std::string& beside)
    : folder_(std::filesystem::path(beside).has_parent_path() ? std::filesystem::path(beside).parent_path().string()
                                                              : std::string(".")),
      file_(open_unnamed(folder_)) {
  if (file_ < 0) fail(folder_, "cannot make a file for what is being imported");
}

SliceSpool::~SliceSpool() { ::close(file_); }

std::size_t SliceSpool::add_track() {
  tracks_.emplace_back();
  return tracks_.size() - 1;
}

void SliceSpool::flush() {
  for (std::size_t t = 0; t < tracks_.size(); ++t) {
    if (!tracks_[t].waiting.empty()) flush(t);
  }
}

/// A full track, or all of them when too much waits.
void SliceSpool::flush(std::size_t track) {
  if (waiting_ >= kMostWaiting) {
    waiting_ = 0;
    flush();
    for (Track& t : tracks_) t.waiting = {};  // thousands of tracks must not keep room for thousands of slices each
    return;
  }
  Track& from = tracks_[track];
  waiting_ -= std::min(waiting_, from.waiting.size());
  for (const SliceEvent& s : from.waiting) {
    from.start_ns = from.slices == 0 ? s.start_ns : std::min(from.start_ns, s.start_ns);
    from.end_ns = from.slices == 0 ? s.start_ns + s.duration_ns : std::max(from.end_ns, s.start_ns + s.duration_ns);
    ++from.slices;
  }
  from.blocks.push_back(write(from.waiting));
  from.waiting.clear();
}

SliceSpool::Block SliceSpool::write(std::vector<SliceEvent>& slices) {
  if (!std::is_sorted(slices.begin(), slices.end(), comes_before))
    std::stable_sort(slices.begin(), slices.end(), comes_before);
  const std::int64_t start = slices.empty() ? 0 : slices.front().start_ns;
  const std::string data = pack<6>(slices.size(), [&](std::size_t i) {
    const SliceEvent& s = slices[i];
    return std::array<std::int64_t, 6>{s.start_ns - start, s.duration_ns, s.op.index, s.step, s.wait_ns, s.correlation};
  });
  const Block block{start, size_, static_cast<std::uint32_t>(data.size())};
  for (std::size_t done = 0; done < data.size();) {
    const ssize_t n = ::pwrite(file_, data.data() + done, data.size() - done, size_ + static_cast<off_t>(done));
    if (n < 0 && errno != EINTR) fail(folder_, "cannot write what is being imported");
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  size_ += static_cast<std::int64_t>(data.size());
  return block;
}

std::string SliceSpool::read(const Block& block) const {
  std::string data(block.size, '\0');
  for (std::size_t done = 0; done < data.size();) {
    const ssize_t n = ::pread(file_, data.data() + done, data.size() - done, block.offset + static_cast<off_t>(done));
    if (n == 0 || (n < 0 && errno != EINTR)) fail(folder_, "cannot read back what is being imported");
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  return data;
}

bool SliceMerge::Run::advance() {
  std::array<std::int64_t, 6> row{};
  if (!reader.next(row)) {
    SS_CHECK(reader.whole(), data.size());  // we wrote it
    return false;
  }
  slice.start_ns = base_ns + row[0];
  slice.duration_ns = row[1];
  slice.op = OpId{static_cast<std::int32_t>(row[2])};
  slice.step = static_cast<std::int32_t>(row[3]);
  slice.wait_ns = row[4];
  slice.correlation = row[5];
  return true;
}

SliceMerge::SliceMerge(SliceSpool& spool, std::span<const std::size_t> tracks) : spool_(spool) {
  for (std::size_t track : tracks) {
    const auto& blocks = spool.track(track).blocks;
    blocks_.insert(blocks_.end(), blocks.begin(), blocks.end());
  }
  std::stable_sort(blocks_.begin(), blocks_.end(),
                   [](const auto& a, const auto& b) { return a.start_ns < b.start_ns; });
}

namespace {

constexpr auto kLaterRun = [](const auto& a, const auto& b) { return comes_before(b->slice, a->slice); };

}  // namespace

void SliceMerge::open_next() {
  const SliceSpool::Block& block = blocks_[opened_++];
  auto run = std::make_unique<Run>(spool_.read(block), block.start_ns);
  if (!run->advance()) return;
  runs_.push_back(std::move(run));
  std::push_heap(runs_.begin(), runs_.end(), kLaterRun);
}

/// So many blocks overlap that they cannot all be open: what is open becomes blocks in order, which are read later.
void SliceMerge::reduce() {
  std::vector<SliceEvent> merged;
  std::vector<SliceSpool::Block> blocks;
  while (!runs_.empty()) {
    std::pop_heap(runs_.begin(), runs_.end(), kLaterRun);
    merged.push_back(runs_.back()->slice);
    if (runs_.back()->advance()) {
      std::push_heap(runs_.begin(), runs_.end(), kLaterRun);
    } else {
      runs_.pop_back();
    }
    if (merged.size() < kChunkRows && !runs_.empty()) continue;
    blocks.push_back(spool_.write(merged));
    merged.clear();
  }
  blocks.insert(blocks.end(), blocks_.begin() + static_cast<std::ptrdiff_t>(opened_), blocks_.end());
  std::stable_sort(blocks.begin(), blocks.end(), [](const auto& a, const auto& b) { return a.start_ns < b.start_ns; });
  blocks_ = std::move(blocks);
  opened_ = 0;
}

bool SliceMerge::next(SliceEvent& slice) {
  while (opened_ < blocks_.size() && (runs_.empty() || blocks_[opened_].start_ns <= runs_.front()->slice.start_ns)) {
    if (runs_.size() >= kMostRuns) reduce();
    open_next();
  }
  if (runs_.empty()) return false;
  std::pop_heap(runs_.begin(), runs_.end(), kLaterRun);
  slice = runs_.back()->slice;
  if (runs_.back()->advance()) {
    std::push_heap(runs_.begin(), runs_.end(), kLaterRun);
  } else {
    runs_.pop_back();
  }
  return true;
}

}  // namespace shardscope
