#include "store/verify_ids.hpp"

#include <algorithm>
#include <map>

namespace pawl::store {

namespace {

// The order of the table, whose hashes are signed.
bool before(const known_id& a, const known_id& b) {
  return std::pair(static_cast<std::int64_t>(a.hash), a.key) < std::pair(static_cast<std::int64_t>(b.hash), b.key);
}

}  // namespace

id_check::id_check(database& db, report r)
    : db_(db),
      report_(std::move(r)),
      in_table_(db.prepare("SELECT 1 FROM ids WHERE hash=?1 AND key=?2")),
      row_(db.prepare("SELECT id, run, closed_at FROM runs WHERE key=?1")),
      ids_below_(db.integer("SELECT ids_below FROM state")) {}

void id_check::run(const run_row& row) {
  const known_id id{hash_of(row.header.workflow_id), row.key};
  reading s(in_table_.bind(1, static_cast<std::int64_t>(id.hash)).bind(2, id.key));
  if (s.next())
    ++matched_;
  else if (row.key < ids_below_)
    report_(row, "the run is not in the table `ids`, so that it cannot be found by its id");
  else
    waiting_.push_back(id);
}

void id_check::end() {
  if (static_cast<std::uint64_t>(db_.integer("SELECT count(*) FROM ids")) != matched_) orphans();
  std::sort(waiting_.begin(), waiting_.end(), before);
  auto next = waiting_.begin();
  auto s = db_.prepare("SELECT hash, key FROM ids ORDER BY hash, key");
  while (s.step()) {
    const known_id id{static_cast<std::uint64_t>(s.integer(0)), s.integer(1)};
    for (; next != waiting_.end() && before(*next, id); ++next) take(*next);
    take(id);
  }
  for (; next != waiting_.end(); ++next) take(*next);
  same_hash();
}

void id_check::orphans() {
  auto s =
      db_.prepare("SELECT i.hash, i.key, r.id FROM ids i LEFT JOIN runs r ON r.key = i.key ORDER BY i.hash, i.key");
  while (s.step()) {
    if (!s.null(2) && hash_of(s.bytes(2)) == static_cast<std::uint64_t>(s.integer(0))) continue;
    run_row row;
    row.header.run = 0;
    row.header.workflow_id = s.text(2);
    report_(row, s.null(2) ? "the table `ids` names run key " + s.text(1) + ", which does not exist"
                           : "the table `ids` has run key " + s.text(1) + " under a wrong hash");
  }
}

void id_check::take(const known_id& id) {
  if (!group_.empty() && group_.front().hash != id.hash) same_hash();
  group_.push_back(id);
}

void id_check::same_hash() {
  struct seen {
    std::map<std::int64_t, int> runs;
    std::int64_t newest = 0;
    std::vector<std::int64_t> open;
  };
  std::map<std::string, seen> ids;
  if (group_.size() > 1) {
    for (const auto& k : group_) {
      reading s(row_.bind(1, k.key));
      if (!s.next()) continue;
      auto& id = ids[row_.text(0)];
      const auto run = row_.integer(1);
      ++id.runs[run];
      id.newest = std::max(id.newest, run);
      if (row_.integer(2) == 0) id.open.push_back(run);
    }
  }
  group_.clear();
  for (const auto& [id, s] : ids) {
    run_row row;
    row.header.workflow_id = id;
    for (const auto& [run, times] : s.runs) {
      row.header.run = static_cast<std::uint32_t>(run);
      if (times > 1) report_(row, "there are " + std::to_string(times) + " runs of that number");
    }
    if (s.open.empty()) continue;
    row.header.run = static_cast<std::uint32_t>(s.open.front());
    if (s.open.size() > 1) report_(row, std::to_string(s.open.size()) + " runs of the workflow are live at once");
    if (s.open.front() != s.newest && s.open.size() == 1)
      report_(row, "the run is live, but run " + std::to_string(s.newest) + " came after it");
  }
}

}  // namespace pawl::store
