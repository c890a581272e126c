// The messages to other partitions that wait in a view, read while it is written to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "store/journal.hpp"

namespace pawl::store {

/// On a connection of its own. One thread at a time. Throws view_error.
class outbox_reader {
 public:
  explicit outbox_reader(const std::string& directory);
  ~outbox_reader();
  outbox_reader(const outbox_reader&) = delete;
  outbox_reader& operator=(const outbox_reader&) = delete;

  /// In the order of their numbers, from `first` on: as many as fit into `most_bytes`, one at least if there is one.
  std::vector<outbox_row> messages(std::int32_t to, std::uint64_t first, std::size_t most_bytes);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace pawl::store
