#include "store/view_loader.hpp"

#include <algorithm>

#include "store/snapshot_tables.hpp"

namespace pawl::store {

namespace {

// A transaction ends when it has so much.
constexpr std::size_t most_rows = 65'536;
constexpr std::size_t most_bytes = std::size_t{16} << 20;
/// Ids are sorted before they go to their table, as many at a time: 64 MiB of them.
constexpr std::size_t ids_at_once = std::size_t{4} << 20;

}  // namespace

view_loader::view_loader(database& db, recent_ids& ids, std::function<void()> committed)
    : db_(db),
      ids_(ids),
      committed_(std::move(committed)),
      insert_run_(db.prepare(insert_run_of_snapshot)),
      insert_id_(db.prepare("INSERT INTO ids VALUES(?1,?2)")) {
  insert_[static_cast<std::size_t>(section::events)] = db.prepare(insert_events_of_snapshot);
  for (const auto& t : whole_tables()) insert_[static_cast<std::size_t>(t.as)] = db.prepare(t.insert);
}

void view_loader::add(section s, row cells) {
  if (!db_.in_transaction()) db_.execute("BEGIN IMMEDIATE");
  try {
    if (s == section::runs)
      add_run(cells);
    else if (auto& into = insert_[static_cast<std::size_t>(s)])
      insert(into, cells);
    else
      throw snapshot_damage("rows of section '" + std::string(shape_of(s).name) + "' have no place there");
  } catch (const sqlite_error& e) {
    if (e.primary() == SQLITE_CONSTRAINT)
      throw snapshot_damage(std::string("its rows contradict each other: ") + e.what());
    throw;
  }
  if (s == section::events) last_event_at_ = std::max(last_event_at_, cells[1].number);
  ++all_rows_;
  if (++rows_ >= most_rows || bytes_ >= most_bytes) commit();
}

void view_loader::insert(statement& s, row cells) {
  for (std::size_t n = 0; n < cells.size(); ++n) {
    const auto& c = cells[n];
    const int at = static_cast<int>(n) + 1;
    switch (c.is) {
      case cell::type::nothing:
        s.bind_null(at);
        break;
      case cell::type::integer:
        s.bind(at, c.number);
        break;
      case cell::type::text:
        s.bind(at, c.chars);
        break;
      case cell::type::bytes:
        s.bind_blob(at, c.chars);
        break;
    }
    bytes_ += c.chars.size() + 8;
  }
  s.run();
}

void view_loader::add_run(row cells) {
  std::array<cell, 13> as_stored{};
  std::copy(cells.begin(), cells.end(), as_stored.begin());
  const auto key = cells[0].number;
  if (key < 1) throw snapshot_damage("a run has the key " + std::to_string(key));
  as_stored[3] = cell::of(reign_number(cells[3].chars));
  as_stored[5] = cell::of(type_number(cells[5].chars));
  insert(insert_run_, as_stored);
  waiting_ids_.push_back({hash_of(cells[1].chars), key});
  if (waiting_ids_.size() >= ids_at_once) put_ids();
  next_key_ = std::max(next_key_, key + 1);
  ++runs_;
}

void view_loader::put_ids() {
  // In the order of the table, whose hashes are signed.
  std::sort(waiting_ids_.begin(), waiting_ids_.end(), [](const known_id& a, const known_id& b) {
    return std::pair(static_cast<std::int64_t>(a.hash), a.key) < std::pair(static_cast<std::int64_t>(b.hash), b.key);
  });
  std::vector<std::uint64_t> hashes;
  hashes.reserve(waiting_ids_.size());
  for (const auto& k : waiting_ids_) {
    insert_id_.bind(1, static_cast<std::int64_t>(k.hash)).bind(2, k.key).run();
    hashes.push_back(k.hash);
  }
  ids_.announce(hashes);
  waiting_ids_.clear();
}

void view_loader::commit() {
  db_.execute("COMMIT");
  rows_ = bytes_ = 0;
  committed_();
}

void view_loader::finish() {
  if (!db_.in_transaction()) db_.execute("BEGIN IMMEDIATE");
  put_ids();
  db_.prepare("UPDATE state SET last_event_at=?1, runs=?2, ids_below=?3")
      .bind(1, last_event_at_)
      .bind(2, static_cast<std::int64_t>(runs_))
      .bind(3, next_key_)
      .run();
}

std::int64_t view_loader::type_number(std::string_view name) {
  if (const auto it = types_.find(name); it != types_.end()) return it->second;
  db_.prepare("INSERT OR IGNORE INTO types(name) VALUES(?1)").bind(1, name).run();
  auto s = db_.prepare("SELECT number FROM types WHERE name=?1");
  s.bind(1, name);
  if (!s.step()) throw sqlite_error("a type was not stored", SQLITE_CORRUPT, 0);
  return types_[std::string(name)] = s.integer(0);
}

std::int64_t view_loader::reign_number(std::string_view bytes) {
  if (const auto it = reigns_.find(bytes); it != reigns_.end()) return it->second;
  const auto text = to_text(reign_of(bytes));
  db_.prepare("INSERT OR IGNORE INTO reigns(reign, opened_at) VALUES(?1, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))")
      .bind(1, text)
      .run();
  auto s = db_.prepare("SELECT number FROM reigns WHERE reign=?1");
  s.bind(1, text);
  if (!s.step()) throw sqlite_error("a reign was not stored", SQLITE_CORRUPT, 0);
  return reigns_[std::string(bytes)] = s.integer(0);
}

}  // namespace pawl::store
