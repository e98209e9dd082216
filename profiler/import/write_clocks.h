#pragma once
// The table `clock` of a run that was just imported: how each rank's clock differs from that of the first one, as far
// as collectives that they share say it.
//
//   write_clocks("run.db", run);

#include <cstdint>
#include <string>

namespace shardscope {

/// A row for each rank of which something is known; none for a run of one rank. Throws Error as Profile and
/// open_for_writing() do.
void write_clocks(const std::string& path, std::int64_t run);

}  // namespace shardscope
