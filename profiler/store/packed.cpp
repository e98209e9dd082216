#include "profiler/store/packed.h"

#include <algorithm>
#include <bit>

namespace shardscope {
namespace {

using Coding = PackedColumn::Coding;

std::uint64_t zigzag(std::uint64_t difference) { return (difference << 1) ^ (0 - (difference >> 63)); }
std::uint64_t unzigzag(std::uint64_t read) { return (read >> 1) ^ (0 - (read & 1)); }
constexpr std::ptrdiff_t kLongestVarint = 10;
std::size_t varint_size(std::uint64_t value) { return (static_cast<std::size_t>(std::bit_width(value | 1)) + 6) / 7; }

/// What each coding of a column would cost.
struct Sizes {
  std::size_t plain = 0, delta = 0, runs = 0;
  bool negative = false;
};

Sizes measure(std::span<const std::int64_t> values) {
  Sizes sizes;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = static_cast<std::uint64_t>(values[i]);
    const std::size_t delta = varint_size(zigzag(value - before));
    sizes.negative = sizes.negative || values[i] < 0;
    sizes.plain += varint_size(value);
    sizes.delta += delta;
    if (i == 0 || value != before) sizes.runs += delta + 2;
    before = value;
  }
  return sizes;
}

Coding choose(std::span<const std::int64_t> values, bool first) {
  if (!first && std::all_of(values.begin(), values.end(), [&](std::int64_t v) { return v == values[0]; }))
    return Coding::kSame;
  const Sizes sizes = measure(values);
  const std::size_t delta_or_plain = sizes.negative ? sizes.delta : std::min(sizes.plain, sizes.delta);
  if (!first && sizes.runs < delta_or_plain) return Coding::kRuns;
  return delta_or_plain == sizes.delta ? Coding::kDelta : Coding::kPlain;
}

void put_runs(std::string& out, std::span<const std::int64_t> values) {
  std::uint64_t before = 0;
  for (std::size_t i = 0, next = 0; i < values.size(); i = next) {
    for (next = i; next < values.size() && values[next] == values[i]; ++next) {
    }
    put_varint(out, zigzag(static_cast<std::uint64_t>(values[i]) - before));
    put_varint(out, next - i);
    before = static_cast<std::uint64_t>(values[i]);
  }
}

void put_values(std::string& out, std::span<const std::int64_t> values, Coding coding) {
  std::uint64_t before = 0;
  switch (coding) {
    case Coding::kSame:
      if (!values.empty()) put_varint(out, static_cast<std::uint64_t>(values[0]));
      return;
    case Coding::kPlain:
      for (std::int64_t value : values) put_varint(out, static_cast<std::uint64_t>(value));
      return;
    case Coding::kDelta:
      for (std::int64_t value : values) {
        put_varint(out, zigzag(static_cast<std::uint64_t>(value) - before));
        before = static_cast<std::uint64_t>(value);
      }
      return;
    case Coding::kRuns:
      put_runs(out, values);
      return;
  }
}

}  // namespace

void put_varint(std::string& out, std::uint64_t value) {
  char bytes[10];
  std::size_t n = 0;
  for (; value >= 0x80; value >>= 7) bytes[n++] = static_cast<char>(value | 0x80);
  bytes[n++] = static_cast<char>(value);
  out.append(bytes, n);
}

void pack_column(std::string& out, std::span<const std::int64_t> values, bool first) {
  const Coding coding = choose(values, first);
  std::string bytes;
  bytes.reserve(values.size() * 3);
  put_values(bytes, values, coding);
  out += static_cast<char>(coding);
  put_varint(out, bytes.size());
  out += bytes;
}

bool PackedColumn::open(std::string_view& data, bool first) {
  if (data.empty()) return false;
  const auto coding = static_cast<unsigned char>(data[0]);
  at_ = data.data() + 1;
  end_ = data.data() + data.size();
  std::uint64_t size = 0;
  if (coding > static_cast<unsigned char>(Coding::kRuns) || !take(size)) return false;
  if (size > static_cast<std::uint64_t>(end_ - at_)) return false;
  coding_ = static_cast<Coding>(coding);
  if (first && coding_ != Coding::kPlain && coding_ != Coding::kDelta) return false;
  end_ = at_ + size;
  data.remove_prefix(static_cast<std::size_t>(end_ - data.data()));
  return coding_ != Coding::kSame || size == 0 || take(value_);
}

bool PackedColumn::read(std::span<std::int64_t> values, std::int64_t& bits) {
  switch (coding_) {
    case Coding::kSame:
      std::fill(values.begin(), values.end(), static_cast<std::int64_t>(value_));
      if (!values.empty()) bits |= values[0];
      return true;
    case Coding::kPlain:
      return read_values<false>(values, bits);
    case Coding::kDelta:
      return read_values<true>(values, bits);
    case Coding::kRuns:
      return read_runs(values, bits);
  }
  return false;
}

template <bool kIsDelta>
bool PackedColumn::read_values(std::span<std::int64_t> values, std::int64_t& bits) {
  std::uint64_t value = value_, seen = 0;
  const auto keep = [&](std::int64_t& to, std::uint64_t read) {
    value = kIsDelta ? value + unzigzag(read) : read;
    seen |= value;
    to = static_cast<std::int64_t>(value);
  };
  std::size_t i = 0;
  for (; i < values.size() && end_ - at_ >= kLongestVarint; ++i) {  // whose bytes are surely there
    const auto* byte = reinterpret_cast<const unsigned char*>(at_);
    std::uint64_t read = *byte & 0x7fU;
    for (int shift = 7; *byte >= 0x80; shift += 7) {
      if (shift > 63) return false;
      read |= static_cast<std::uint64_t>(*++byte & 0x7fU) << shift;
    }
    at_ = reinterpret_cast<const char*>(byte + 1);
    keep(values[i], read);
  }
  for (; i < values.size(); ++i) {
    std::uint64_t read = 0;
    if (!take(read)) return false;
    keep(values[i], read);
  }
  value_ = value;
  bits |= static_cast<std::int64_t>(seen);
  return true;
}

bool PackedColumn::read_runs(std::span<std::int64_t> values, std::int64_t& bits) {
  while (!values.empty()) {
    std::uint64_t read = 0;
    if (run_ == 0) {
      if (!take(read) || !take(run_) || run_ == 0) return false;
      value_ += unzigzag(read);
    }
    const std::size_t length = std::min<std::uint64_t>(run_, values.size());
    std::fill_n(values.begin(), length, static_cast<std::int64_t>(value_));
    bits |= static_cast<std::int64_t>(value_);
    values = values.subspan(length);
    run_ -= length;
  }
  return true;
}

bool open_packed(std::string_view& data, std::uint64_t& rows) {
  rows = 0;
  if (!is_packed(data)) return false;
  data.remove_prefix(1);
  for (int shift = 0; shift < 28; shift += 7) {
    if (data.empty()) return false;
    const auto byte = static_cast<unsigned char>(data[0]);
    data.remove_prefix(1);
    rows |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
    if (byte < 0x80) return rows <= kMaxPackedRows;
  }
  return false;
}

}  // namespace shardscope
