// The tables of a store, and how a store written by an older version becomes one of this version. docs/store.md
// describes the tables.
#pragma once

#include <span>
#include <string>

#include "store/sqlite.hpp"

namespace pawl::store {

/// A migration brings a store from `version - 1` to `version`. One that is released is never changed.
struct migration {
  int version = 0;
  void (*apply)(database&);
};

/// All of them, in order; the last one's version is what this binary writes.
std::span<const migration> migrations();
int newest_schema();

/// The version of an open store; 0: an empty file. Throws store_error when it is not a store, and sqlite_error.
int schema_of(database& db, const std::string& file);

/// Throws store_error when the store is newer than `known`, naming the version that is needed.
void refuse_newer(int found, int known, const std::string& file);

/// Runs the migrations above the store's version, each in a transaction of its own. Refuses a newer store before it
/// writes anything. Throws store_error and sqlite_error.
void migrate(database& db, const std::string& file, std::span<const migration> steps = migrations());

}  // namespace pawl::store
