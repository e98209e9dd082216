#include "core/engine/arena.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "core/check.h"
#include "core/engine/nvme/nvme_file.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::uint32_t kPoison = 0x7fc07fc0;  // NaN as fp32, as two bf16 and, read as fp16 or int, far off
constexpr int kDevice = static_cast<int>(Space::kDevice), kNvme = static_cast<int>(Space::kNvme);

std::size_t at(Space space) { return static_cast<std::size_t>(space); }
std::size_t at(Category category) { return static_cast<std::size_t>(category); }

}  // namespace

std::string format_bytes(std::int64_t bytes) {
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  int unit = 0;
  for (; value >= 1024 && unit < 3; ++unit) value /= 1024;
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string describe(const MemoryTable& table, Space space) {
  std::vector<std::pair<std::int64_t, int>> rows;
  for (int c = 0; c < kCategories; ++c) rows.emplace_back(-table.bytes[at(space)][static_cast<std::size_t>(c)], c);
  std::sort(rows.begin(), rows.end());
  std::string text;
  for (const auto& [negative, category] : rows) {
    if (negative == 0) continue;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {}", to_string(static_cast<Category>(category)), format_bytes(-negative));
  }
  return text.empty() ? "nothing" : text;
}

Arena::Arena(const Program& program, Backend& backend, const ArenaOptions& options)
    : program_(&program), backend_(backend), options_(options), is_live_(program.buffers.size(), 0) {
  memory_.program = &program;
  memory_.backend = &backend;
  try {
    take_spaces();
    for (std::size_t i = 0; i < program.buffers.size(); ++i) {
      if (program.buffers[i].persistent) allocate(BufferId{static_cast<std::int32_t>(i)}, OpId{});
    }
  } catch (...) {
    give_back_spaces();
    throw;
  }
}

Arena::~Arena() { give_back_spaces(); }

void Arena::take_spaces() {
  for (int s = 0; s < kSpaces; ++s) {
    const std::int64_t bytes = program_->arena_bytes[static_cast<std::size_t>(s)];
    if (s == kNvme && bytes > 0) {
      SS_CHECK(options_.nvme != nullptr && options_.nvme->size() >= bytes, bytes);
      memory_.nvme = options_.nvme;
    } else if (bytes > 0) {
      memory_.bases[s] = take_space(static_cast<Space>(s), bytes);
    }
  }
}

/// What is wanted, and for what, where the device has too little.
std::byte* Arena::take_space(Space space, std::int64_t bytes) const {
  try {
    return backend_.allocate(space, bytes);
  } catch (const Error& error) {
    throw Error(error.kind(),
                fmt::format("{} memory of rank {}: {}; at its fullest: {}", to_string(space), program_->rank,
                            error.what(), describe(compute_memory_peak(*program_).at_peak, space)));
  }
}

void Arena::give_back_spaces() {
  for (int s = 0; s < kSpaces; ++s) {
    if (memory_.bases[s] == nullptr) continue;
    backend_.release(static_cast<Space>(s), memory_.bases[s], program_->arena_bytes[static_cast<std::size_t>(s)]);
    memory_.bases[s] = nullptr;
  }
}

void Arena::allocate(BufferId id, OpId op) {
  const Buffer& buffer = program_->buffer(id);
  SS_CHECK(!is_live_[static_cast<std::size_t>(id.index)], buffer.name, op.index);
  if (options_.device_limit_bytes > 0 && buffer.space == Space::kDevice) check_limit(buffer, op);
  claim_range(id);
  is_live_[static_cast<std::size_t>(id.index)] = 1;
  live_.bytes[at(buffer.space)][at(buffer.category)] += buffer.bytes();
  totals_[at(buffer.space)] += buffer.bytes();
  count_peak(buffer, op);
}

/// Two live buffers in the same bytes would silently corrupt each other.
void Arena::claim_range(BufferId id) {
  const Buffer& buffer = program_->buffer(id);
  const std::int64_t begin = buffer.address, end = begin + buffer.bytes();
  SS_CHECK(begin >= 0 && end <= program_->arena_bytes[at(buffer.space)], buffer.name, begin, end);
  if (begin == end) return;
  auto& ranges = ranges_[at(buffer.space)];
  auto next = ranges.lower_bound(begin);
  SS_CHECK(next == ranges.end() || next->first >= end, buffer.name, begin, end);
  SS_CHECK(next == ranges.begin() || std::prev(next)->second <= begin, buffer.name, begin, end);
  ranges.emplace_hint(next, begin, end);
}

void Arena::count_peak(const Buffer& buffer, OpId op) {
  const std::size_t s = at(buffer.space), c = at(buffer.category);
  peak_.peak_by_category.bytes[s][c] = std::max(peak_.peak_by_category.bytes[s][c], live_.bytes[s][c]);
  if (totals_[s] <= peak_.peak_bytes[s]) return;
  peak_.peak_bytes[s] = totals_[s];
  peak_.at_peak.bytes[s] = live_.bytes[s];
  peak_.at[s] = op;
}

void Arena::check_limit(const Buffer& buffer, OpId op) const {
  const std::int64_t wanted = totals_[kDevice] + buffer.bytes();
  if (wanted <= options_.device_limit_bytes) return;
  const std::string where =
      op.valid() ? fmt::format("op {} ({})", op.index, program_->name(program_->instruction(op).label.name))
                 : "start-up";
  throw Error(
      ErrorKind::kDevice,
      fmt::format("device memory: {} of rank {} asks for {} for {} '{}' while {} of the limit of {} ({} bytes) are "
                  "live: {}; a limit of {} bytes would fit this job",
                  where, program_->rank, format_bytes(buffer.bytes()), to_string(buffer.category), buffer.name,
                  format_bytes(totals_[kDevice]), format_bytes(options_.device_limit_bytes),
                  options_.device_limit_bytes, describe(live_, Space::kDevice),
                  compute_memory_peak(*program_).peak_bytes[kDevice]));
}

void Arena::release(BufferId id, OpId op) {
  const Buffer& buffer = program_->buffer(id);
  SS_CHECK(!buffer.persistent, buffer.name, op.index);
  SS_CHECK(is_live_[static_cast<std::size_t>(id.index)], buffer.name, op.index);
  is_live_[static_cast<std::size_t>(id.index)] = 0;
  live_.bytes[at(buffer.space)][at(buffer.category)] -= buffer.bytes();
  totals_[at(buffer.space)] -= buffer.bytes();
  if (buffer.bytes() > 0) ranges_[at(buffer.space)].erase(buffer.address);
}

void Arena::serve(const Program& next) {
  check_step_end();
  SS_CHECK(next.arena_bytes == program_->arena_bytes);
  is_live_.assign(next.buffers.size(), 0);
  for (std::size_t i = 0; i < std::max(next.buffers.size(), program_->buffers.size()); ++i) {
    const bool was = i < program_->buffers.size() && program_->buffers[i].persistent;
    const bool is = i < next.buffers.size() && next.buffers[i].persistent;
    SS_CHECK(was == is && (!is || next.buffers[i] == program_->buffers[i]), i);
    if (is) is_live_[i] = 1;
  }
  program_ = memory_.program = &next;
  peak_ = {.peak_bytes = totals_, .peak_by_category = live_, .at_peak = live_, .at = {}};
}

void Arena::check_step_end() const {
  for (std::size_t i = 0; i < is_live_.size(); ++i) {
    SS_CHECK(!is_live_[i] || program_->buffers[i].persistent, program_->buffers[i].name);
  }
}

void Arena::poison() const {
  for (std::size_t s = 0; s < kSpaces; ++s) {
    const auto words = static_cast<std::size_t>(program_->arena_bytes[s]) / sizeof kPoison;
    if (words == 0) continue;
    const std::vector<std::uint32_t> poison(words, kPoison);
    if (s == kNvme) {
      memory_.nvme->write(0, std::as_bytes(std::span(poison)));
    } else {
      backend_.copy_in(memory_.bases[s], poison.data(), static_cast<std::int64_t>(words * sizeof kPoison));
    }
  }
}

}  // namespace shardscope
