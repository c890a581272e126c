#include "store/outbox_reader.hpp"

#include "store/data_directory.hpp"
#include "store/outbox_tables.hpp"
#include "store/sqlite_view.hpp"
#include "store/view.hpp"

namespace pawl::store {

struct outbox_reader::state {
  explicit state(const std::string& directory) : file(database_file(directory)), db(open_for_reading(directory)) {}
  std::string file;
  database db;
  statement messages;
};

outbox_reader::outbox_reader(const std::string& directory) : state_(std::make_unique<state>(directory)) {
  try {
    state_->messages =
        state_->db.prepare("SELECT number, reign, message FROM outbox WHERE peer=?1 AND number>=?2 ORDER BY number");
  } catch (const sqlite_error& e) {
    throw view_error(state_->file + " cannot be read: " + e.what());
  }
}

outbox_reader::~outbox_reader() = default;

std::vector<outbox_row> outbox_reader::messages(std::int32_t to, std::uint64_t first, std::size_t most_bytes) {
  auto& rows = state_->messages;
  try {
    std::vector<outbox_row> out;
    std::size_t bytes = 0;
    for (reading s(rows.bind(1, to).bind(2, static_cast<std::int64_t>(first))); s.next();) {
      auto message = rows.text(2);
      bytes += message.size();
      if (bytes > most_bytes && !out.empty()) break;
      out.push_back({.to = to,
                     .number = static_cast<std::uint64_t>(rows.integer(0)),
                     .reign = reign_of_text(rows.text(1)),
                     .message = std::move(message)});
    }
    return out;
  } catch (const sqlite_error& e) {
    throw view_error(state_->file + " cannot be read: " + e.what() + "; see what `pawl verify` finds");
  }
}

}  // namespace pawl::store
