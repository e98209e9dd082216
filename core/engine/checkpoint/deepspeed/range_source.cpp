#include "core/engine/checkpoint/deepspeed/range_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/engine/float_convert.h"
#include "core/error.h"

namespace shardscope {
namespace {

constexpr std::size_t kOpenFiles = 64;
constexpr StateRole kRoles[] = {StateRole::kParameter, StateRole::kExpAvg, StateRole::kExpAvgSq};

std::size_t at(StateRole role) { return static_cast<std::size_t>(role); }

}  // namespace

std::size_t RangeSource::add_file(const std::string& path) {
  files_.push_back(path);
  return files_.size() - 1;
}

std::size_t RangeSource::add_tensor(const std::string& name, std::vector<std::int64_t> shape) {
  tensors_.push_back({name, std::move(shape)});
  ranges_.emplace_back();
  return tensors_.size() - 1;
}

void RangeSource::add_range(std::size_t tensor, StateRole role, FileRange range) {
  if (range.count == 0) return;
  has_moments_ = has_moments_ || role != StateRole::kParameter;
  ranges_[tensor][at(role)].push_back(range);
}

void RangeSource::check_complete() {
  for (std::size_t tensor = 0; tensor < tensors_.size(); ++tensor) {
    for (const StateRole role : kRoles) {
      if (role != StateRole::kParameter && !has_moments_) continue;
      std::vector<FileRange>& ranges = ranges_[tensor][at(role)];
      std::sort(ranges.begin(), ranges.end(), [](const FileRange& a, const FileRange& b) { return a.whole < b.whole; });
      std::int64_t end = 0;
      for (const FileRange& range : ranges) {
        if (range.whole != end) break;
        end += range.count;
      }
      if (end == tensors_[tensor].elements()) continue;
      throw Error(ErrorKind::kParse,
                  fmt::format("{}: of tensor {}, {}, elements from {} are missing or there twice; it has "
                              "{}",
                              path_, tensors_[tensor].name, to_string(role), end, tensors_[tensor].elements()));
    }
  }
}

void RangeSource::read(std::size_t tensor, StateRole role, std::int64_t begin, std::span<float> out) {
  const std::vector<FileRange>& ranges = ranges_.at(tensor)[at(role)];
  auto range = std::upper_bound(ranges.begin(), ranges.end(), begin,
                                [](std::int64_t b, const FileRange& r) { return b < r.whole + r.count; });
  std::vector<std::byte> stored;
  while (!out.empty()) {
    SS_CHECK(range != ranges.end() && range->whole <= begin, tensors_[tensor].name, begin);
    const std::int64_t inside = begin - range->whole, size = size_of(range->dtype);
    const auto n = std::min(out.size(), static_cast<std::size_t>(range->count - inside));
    stored.resize(n * static_cast<std::size_t>(size));
    file(range->file).read(range->offset + inside * size, stored);
    to_floats(stored.data(), range->dtype, out.first(n));
    out = out.subspan(n);
    begin += static_cast<std::int64_t>(n);
    ++range;
  }
}

const DiskFile& RangeSource::file(std::size_t index) {
  const auto found = open_.find(index);
  if (found != open_.end()) return *found->second;
  if (open_.size() >= kOpenFiles) open_.erase(open_.begin());
  return *open_.emplace(index, std::make_unique<DiskFile>(DiskFile::open(files_[index]))).first->second;
}

}  // namespace shardscope
