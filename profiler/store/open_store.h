#pragma once
// Opening profiles: the checks that keep a file of another kind, of another version, or a hostile one from being read
// or written.

#include <span>
#include <string>

#include "profiler/store/schema.h"
#include "profiler/store/sqlite.h"

namespace shardscope {

/// Opens for recording; creates the file, or makes a profile of an empty one; migrates an older version. Throws
/// Error{kParse} if it holds something else, Error{kIo} if it cannot be written.
Connection open_for_writing(const std::string& path);

/// Opens for reading, with SQLite's defences on. Throws Error{kConfig} if missing or unreadable, {kIo} if locked,
/// {kParse} if it is no profile, damaged, of a newer version, or its schema is not exactly ours.
Connection open_for_reading(const std::string& path);

/// Brings `connection` from version `from` to the last of `migrations`, in one transaction. Throws Error{kParse} if
/// there is no way.
void migrate(Connection& connection, int from, std::span<const Migration> migrations);

/// Throws Error{kParse} unless every table, view and index of that version is there word for word, and there is no
/// trigger. Further tables and views, made by a person, are left alone: nothing here reads them. (Views are not read
/// either, see schema.h; a person does.)
void check_schema(Connection& connection, int version);

}  // namespace shardscope
