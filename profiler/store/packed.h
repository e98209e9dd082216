#pragma once
// Tables of integers in few bytes, a column after the other: what is the same in all rows costs nothing, times one to
// three bytes each. What packs slices, levels and memory samples of runs that are not written to any more.
//
//   std::string data = pack<2>(rows, [&](std::size_t row) { return std::array{start[row], dur[row]}; });
//   PackedReader<2> reader(data);
//   for (std::array<std::int64_t, 2> row; reader.next(row);) use(row);
//   if (!reader.whole()) throw ...;            // the bytes are not what pack() writes
//   PackedColumns<2> columns(data);
//   if (!columns.read(1, std::span(durations), bits)) throw ...;
//
// Format: byte 1; rows as a varint; then for each column its coding (a byte), its length (varint) and its bytes.
// Varints are LEB128. The first column has at least a byte for each row, so that no file asks for more rows than it
// has bytes.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shardscope {

inline constexpr char kPackedMark = 1;                    ///< first byte; JSON begins with '['
inline constexpr std::uint64_t kMaxPackedRows = 1 << 16;  ///< pack() is given some thousands

constexpr bool is_packed(std::string_view data) { return !data.empty() && data[0] == kPackedMark; }

/// Appends one column. `first`: one that must have a byte a row.
void pack_column(std::string& out, std::span<const std::int64_t> values, bool first);
void put_varint(std::string& out, std::uint64_t value);

/// One column while it is read.
class PackedColumn {
 public:
  enum class Coding : std::uint8_t { kSame, kPlain, kDelta, kRuns };
  /// Takes the column from the front of `data`; false if it is not there.
  bool open(std::string_view& data, bool first);
  bool next(std::int64_t& value);
  /// As many as there is room for, faster than one by one; all of them or-ed into `bits`, which tells whether one is
  /// negative or too large.
  bool read(std::span<std::int64_t> values, std::int64_t& bits);
  bool is_constant() const { return coding_ == Coding::kSame; }
  bool at_end() const { return at_ == end_ && run_ == 0; }

 private:
  bool take(std::uint64_t& value);
  template <bool kIsDelta>
  bool read_values(std::span<std::int64_t> values, std::int64_t& bits);
  bool read_runs(std::span<std::int64_t> values, std::int64_t& bits);
  const char *at_ = nullptr, *end_ = nullptr;
  std::uint64_t value_ = 0, run_ = 0;
  Coding coding_ = Coding::kSame;
};

/// Rows of a packed table; 0 and false if the head is wrong.
bool open_packed(std::string_view& data, std::uint64_t& rows);

/// The same, with all its columns; false also if more follows them.
template <std::size_t N>
bool open_columns(std::string_view data, std::array<PackedColumn, N>& columns, std::uint64_t& rows) {
  bool good = open_packed(data, rows);
  for (std::size_t c = 0; c < N && good; ++c) good = columns[c].open(data, c == 0);
  return good && data.empty();
}

/// Columns of a packed table by themselves: what is not asked for is not unpacked.
template <std::size_t N>
class PackedColumns {
 public:
  explicit PackedColumns(std::string_view data) { good_ = open_columns(data, columns_, rows_); }
  bool good() const { return good_; }
  std::size_t rows() const { return rows_; }
  bool is_constant(std::size_t column) const { return columns_[column].is_constant(); }
  /// The next values of a column; all of them or-ed into `bits`. No more than rows() in all.
  bool read(std::size_t column, std::span<std::int64_t> values, std::int64_t& bits) {
    return good_ && columns_[column].read(values, bits);
  }

 private:
  std::array<PackedColumn, N> columns_;
  std::uint64_t rows_ = 0;
  bool good_ = false;
};

template <std::size_t N, class Row>
std::string pack(std::size_t rows, Row&& row) {
  std::vector<std::int64_t> columns(rows * N);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::array<std::int64_t, N> values = row(r);
    for (std::size_t c = 0; c < N; ++c) columns[c * rows + r] = values[c];
  }
  std::string out(1, kPackedMark);
  out.reserve(rows * 10 + 64);
  put_varint(out, rows);
  for (std::size_t c = 0; c < N; ++c) pack_column(out, {columns.data() + c * rows, rows}, c == 0);
  return out;
}

template <std::size_t N>
class PackedReader {
 public:
  explicit PackedReader(std::string_view data) { good_ = open_columns(data, columns_, left_); }
  /// False after the last row, and where the bytes are wrong.
  bool next(std::array<std::int64_t, N>& row) {
    if (!good_ || left_ == 0) return false;
    for (std::size_t c = 0; c < N; ++c) good_ = columns_[c].next(row[c]) && good_;
    --left_;
    return good_;
  }
  bool whole() const {
    bool ended = good_ && left_ == 0;
    for (const PackedColumn& column : columns_) ended = ended && column.at_end();
    return ended;
  }

 private:
  std::array<PackedColumn, N> columns_;
  std::uint64_t left_ = 0;
  bool good_ = false;
};

// ---------------------------------------------------------------- implementation of what is called per value

inline bool PackedColumn::take(std::uint64_t& value) {
  if (at_ == end_) return false;
  auto byte = static_cast<unsigned char>(*at_++);
  value = byte & 0x7fU;
  for (int shift = 7; byte >= 0x80; shift += 7) {
    if (at_ == end_ || shift > 63) return false;
    byte = static_cast<unsigned char>(*at_++);
    value |= static_cast<std::uint64_t>(byte & 0x7fU) << shift;
  }
  return true;
}

inline bool PackedColumn::next(std::int64_t& value) {
  std::uint64_t read = 0;
  switch (coding_) {
    case Coding::kSame:
      break;
    case Coding::kPlain:
      if (!take(value_)) return false;
      break;
    case Coding::kDelta:
      if (!take(read)) return false;
      value_ += (read >> 1) ^ (0 - (read & 1));
      break;
    case Coding::kRuns:
      if (run_ == 0 && (!take(read) || !take(run_) || run_ == 0)) return false;
      value_ += (read >> 1) ^ (0 - (read & 1));
      --run_;
      break;
  }
  value = static_cast<std::int64_t>(value_);
  return true;
}

}  // namespace shardscope
