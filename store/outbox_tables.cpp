#include "store/outbox_tables.hpp"

namespace pawl::store {

namespace {

std::int64_t as_signed(std::uint64_t v) { return static_cast<std::int64_t>(v); }

receive_mark::state state_of(std::string_view word) {
  if (word == "diverged") return receive_mark::state::diverged;
  return word == "any" ? receive_mark::state::any : receive_mark::state::in_order;
}

std::string_view word_of(receive_mark::state s) {
  if (s == receive_mark::state::diverged) return "diverged";
  return s == receive_mark::state::any ? "any" : "in order";
}

}  // namespace

engine::reign reign_of_text(const std::string& text) {
  engine::run_uid uid;
  return from_text(text + "-0", uid) ? uid.reign : engine::reign{};
}

outbox_tables::outbox_tables(database& db)
    : db_(db),
      insert_message_(db.prepare("INSERT INTO outbox VALUES(?1,?2,?3,?4)")),
      given_(db.prepare("INSERT INTO peers VALUES(?1,?2,1,'in order') ON CONFLICT(peer) DO UPDATE SET given_below=?2")),
      delete_messages_(db.prepare("DELETE FROM outbox WHERE peer=?1 AND number<?2")),
      acknowledged_(db.prepare("UPDATE peers SET acknowledged_below=?2 WHERE peer=?1")),
      insert_stretch_(db.prepare("INSERT INTO received VALUES(?1,?2,?3,?4)")),
      grow_stretch_(db.prepare("UPDATE received SET last=?3 WHERE peer=?1 AND first=?2")),
      drop_stretches_(db.prepare("DELETE FROM received WHERE peer=?1 AND first<?2")),
      receives_(db.prepare("INSERT INTO peers VALUES(?1,1,1,?2) ON CONFLICT(peer) DO UPDATE SET receives=?2")) {
  forget();
}

void outbox_tables::write(const outbox_changes& c) {
  for (const auto& m : c.messages) put(m);
  for (const auto& a : c.acknowledged) {
    delete_messages_.bind(1, a.to).bind(2, as_signed(a.below)).run();
    acknowledged_.bind(1, a.to).bind(2, as_signed(a.below)).run();
  }
  for (const auto& m : c.received) put(m);
}

void outbox_tables::put(const outbox_row& m) {
  text_ = to_text(m.reign);
  insert_message_.bind(1, m.to).bind(2, as_signed(m.number)).bind(3, text_).bind_blob(4, m.message).run();
  given_.bind(1, m.to).bind(2, as_signed(m.number + 1)).run();
}

void outbox_tables::put(const receive_mark& m) {
  auto& s = received_[m.from];
  s.from = m.from;
  const auto before = s.what;
  const bool begun = s.fold(m);
  if (s.what != before || begun) receives_.bind(1, m.from).bind(2, word_of(s.what)).run();
  if (s.stretches.empty()) {
    drop_stretches_.bind(1, m.from).bind(2, INT64_MAX).run();
    return;
  }
  const auto& newest = s.stretches.back();
  text_ = to_text(newest.reign);
  if (begun) {
    insert_stretch_.bind(1, m.from)
        .bind(2, as_signed(newest.first))
        .bind(3, as_signed(newest.last))
        .bind(4, text_)
        .run();
    drop_stretches_.bind(1, m.from).bind(2, as_signed(s.stretches.front().first)).run();
  } else {
    grow_stretch_.bind(1, m.from).bind(2, as_signed(newest.first)).bind(3, as_signed(newest.last)).run();
  }
}

void outbox_tables::forget() {
  received_.clear();
  for (auto& s : read().received) received_[s.from] = std::move(s);
}

outbox_state outbox_tables::read() {
  outbox_state out;
  std::map<std::int32_t, receive_state> received;
  for (auto s = db_.prepare("SELECT peer, given_below, acknowledged_below, receives FROM peers ORDER BY peer");
       s.step();) {
    const auto peer = static_cast<std::int32_t>(s.integer(0));
    if (s.integer(1) > 1)
      out.lanes.push_back({.to = peer,
                           .given_below = static_cast<std::uint64_t>(s.integer(1)),
                           .acknowledged_below = static_cast<std::uint64_t>(s.integer(2))});
    received[peer] = {.from = peer, .what = state_of(s.bytes(3))};
  }
  for (auto s = db_.prepare("SELECT peer, first, last, reign FROM received ORDER BY peer, first"); s.step();)
    received[static_cast<std::int32_t>(s.integer(0))].stretches.push_back(
        {.first = static_cast<std::uint64_t>(s.integer(1)),
         .last = static_cast<std::uint64_t>(s.integer(2)),
         .reign = reign_of_text(s.text(3))});
  for (auto& [peer, s] : received)
    if (!s.stretches.empty() || s.what != receive_mark::state::in_order) out.received.push_back(std::move(s));
  return out;
}

}  // namespace pawl::store
