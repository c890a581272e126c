#include "tests/broker/simulated_journal.hpp"

#include <algorithm>

namespace pawl::broker::simulated {

void state::take(std::int64_t offset, const entry& e, const fold& now) {
  known = now;
  at = offset;
  id = e.id;
  digest = (digest ^ e.id) * 0x9e3779b97f4a7c15ULL + 1;
  if (e.s.kind != record_kind::batch) return;
  commands = e.commands;
  feed = e.feed;
  if (!e.says) return;
  auto next = outbox ? std::make_shared<outbox_fold>(*outbox) : std::make_shared<outbox_fold>();
  next->take(*e.says);
  outbox = std::move(next);
}

journal_world::journal_world(std::mt19937_64& random, trim_rules rules, journal_totals& t)
    : random_(random),
      rules_(rules),
      totals_(t) {
  truth_.push_back({});
}

void journal_world::fail(const std::string& what) {
  if (wrong_.empty()) wrong_ = what + " (log " + std::to_string(first_) + " to " + std::to_string(end()) + ")";
}

std::string journal_world::standing() const {
  std::string out;
  for (const auto& n : seats_) {
    if (n.gone) continue;
    out += (n.begun ? "next " + std::to_string(n.fence.next_offset()) + " standing " +
                          std::to_string(static_cast<int>(n.fence.now()))
                    : std::string("not begun")) +
           (n.view.digest == truth(end()).digest ? "; " : " on another state; ");
  }
  return out;
}

bool journal_world::somebody_leads() const {
  return std::any_of(seats_.begin(), seats_.end(),
                     [](const seat& n) { return !n.gone && n.begun && n.fence.now() != fence::standing::following; });
}

bool journal_world::settled() const {
  return wire_.empty() && somebody_leads() && std::all_of(seats_.begin(), seats_.end(), [&](const seat& n) {
           return n.gone || (n.begun && n.fence.next_offset() == end() && n.view.digest == truth(end()).digest);
         });
}

// ---- the log

void journal_world::put(const entry& e) {
  auto s = truth(end());
  auto known = s.known;
  if (known.apply(e.s, rules_.fence)) {
    if (e.s.kind == record_kind::batch && e.on != s.digest)
      fail("offset " + std::to_string(end()) + " counts, and was decided on another state");
    s.take(end(), e, known);
  }
  log_.push_back(e);
  truth_.push_back(s);
}

bool journal_world::lose_end() {
  const auto oldest = std::max(first_, trimmed_for_ + 1);
  if (end() - oldest < 2) return false;
  const auto lost =
      1 + static_cast<std::int64_t>(pick(static_cast<std::size_t>(std::min<std::int64_t>(6, end() - oldest - 1))));
  if (goes_unnoticed(end() - lost)) return false;
  log_.resize(static_cast<std::size_t>(end() - lost));
  truth_.resize(log_.size() + 1);
  ++totals_.lost_ends;
  written_since_loss_ = 0;
  std::erase_if(wire_,
                [&](const auto& w) { return w.second.s.kind == record_kind::batch && !has_any_of(w.second.s.reign); });
  // Who leads reads its records back all the time, and hears of an end that is below what it has read.
  for (auto& n : seats_)
    if (!n.gone && n.begun && n.fence.now() != fence::standing::following &&
        (n.fence.next_offset() > end() || (n.answer && !has_any_of(n.fence.own()))))
      step_down(n);
  return true;
}

// What is not tried; see trim_simulation_test.cpp.
bool journal_world::goes_unnoticed(std::int64_t below) const {
  return std::any_of(seats_.begin(), seats_.end(), [&](const seat& n) {
    return !n.gone && ((is_stopped(n) && n.fence.now() != fence::standing::following) ||
                       (n.begun && n.fence.next_offset() > below && n.view.at < below));
  });
}

bool journal_world::damage_snapshot() {
  if (written_since_loss_ < 2 || store_.empty()) return false;
  store_[chance(0.7) ? store_.size() - 1 : pick(store_.size())].damaged = true;
  written_since_loss_ = 0;
  ++totals_.damaged;
  return true;
}

bool journal_world::has_any_of(engine::reign r) const {
  return std::any_of(log_.rbegin(), log_.rend(), [&](const entry& e) { return e.s.reign == r; });
}

// A producer of which nothing is left is a new one to the brokers.
bool journal_world::in_sequence(const stamp& s) const {
  const auto last = std::find_if(log_.rbegin(), log_.rend(), [&](const entry& e) { return e.s.reign == s.reign; });
  return last == log_.rend() || last->s.seq + 1 == s.seq;
}

void journal_world::send(seat& n, const entry& e) {
  n.in_flight = e;
  n.answer.reset();
  wire_.push_back({&n, e});
}

void journal_world::deliver() {
  if (wire_.empty() || !chance(0.6)) return;
  const auto [to, e] = wire_.front();
  wire_.pop_front();
  auto& n = *to;
  const bool refused = rules_.producers_are_in_sequence && !in_sequence(e.s);
  const bool lost = !refused && !quiet_ && chance(0.01);
  if (!refused && !lost) put(e);
  const auto offset = end() - 1;
  // A retry of what had arrived after all, to brokers that have forgotten the producer.
  if (!refused && !lost && !quiet_ && chance(0.01)) put(e), ++totals_.duplicates;
  const bool unheard = !quiet_ && chance(0.03);
  totals_.lost_appends += lost ? 1 : 0;
  totals_.lost_acks += !refused && !lost && unheard ? 1 : 0;
  if (n.in_flight && n.in_flight->id == e.id) n.answer = {e, refused || lost || unheard ? -1 : offset};
}

// ---- one seat

bool journal_world::usable(const snapshot& s) const {
  return (!s.damaged || !rules_.snapshots_are_checked) && (!rules_.snapshots_fit || !misfits(s.of));
}

bool journal_world::restore(seat& n) {
  for (auto it = store_.rbegin(); it != store_.rend(); ++it) {
    if (!usable(*it)) continue;
    n.view = it->of;
    if (it->damaged) n.view.digest ^= 1;
    n.has_view = true;
    ++totals_.restored;
    return true;
  }
  return false;
}

// The fold goes on from where the view stands.
void journal_world::begin(seat& n) {
  n.in_flight.reset();
  n.answer.reset();
  const bool below = n.has_view && n.view.at < first_;
  totals_.below += below ? 1 : 0;
  if (!n.has_view || (below && rules_.below_the_trim_restores)) {
    if (!restore(n)) {
      if (first_ > 0) return fail("there is no snapshot to start from");
      n.view = {};
    }
  } else if (rules_.views_fit && !below && misfits(n.view)) {
    n.view = {};
    n.has_view = false;
    n.adopted = false;
    n.kept.clear();
    ++totals_.rebuilt;
    return;
  }
  n.fence =
      broker::fence(n.view.known, std::max(n.view.at + 1, rules_.below_the_trim_restores ? 0 : first_), rules_.fence);
  n.begun = true;
}

void journal_world::step(seat& n) {
  if (n.gone || !wrong_.empty()) return;
  if (n.paused > 0) {
    --n.paused;
    return;
  }
  deliver();
  act(n);
  if (!n.leads || (n.begun && n.fence.now() == fence::standing::leading)) return;
  n.leads = false;
  leads_no_more(n);
}

void journal_world::act(seat& n) {
  if (!n.begun) return begin(n);
  switch (n.fence.now()) {
    case fence::standing::following:
      if (!read(n, 1 + static_cast<std::int64_t>(pick(12))) || !announces(n)) return;
      send(n, {.s = n.fence.announce({++reigns_, 0}), .id = ++ids_});
      if (n.fence.now() == fence::standing::leading) begin_to_lead(n);  // without that rule of the fence
      return;
    case fence::standing::announcing:
      if (n.answer && n.answer->second < 0) return step_down(n);
      if (n.answer && !quiet_ && chance(0.02)) return step_down(n);  // it does not come back
      read(n, INT64_MAX);
      if (n.fence.now() == fence::standing::leading) begin_to_lead(n);
      return;
    case fence::standing::leading:
      return lead(n);
  }
}

// False: it has to begin again.
bool journal_world::read(seat& n, std::int64_t most) {
  if (n.fence.next_offset() > end() || n.fence.next_offset() < first_) {
    if (n.fence.next_offset() >= first_ || rules_.below_the_trim_restores) {
      n.begun = false;
      return false;
    }
    n.fence = broker::fence(n.fence.folded(), first_, rules_.fence);
  }
  for (; most > 0 && n.fence.next_offset() < end(); --most) {
    const auto at = n.fence.next_offset();
    const auto& e = record(at);
    const auto& f = n.fence.folded();
    const bool stranger = e.s.kind != record_kind::announcement &&
                          (e.s.epoch > f.epoch || (e.s.epoch == f.epoch && e.s.reign != f.reign));
    const bool news = stranger || e.s.kind == record_kind::announcement;
    if (news && rules_.views_look_back && changed_behind(n, at)) {
      ++totals_.noticed_late;
      n.begun = n.has_view = n.adopted = false;
      n.view = {};
      n.kept.clear();
      ++totals_.rebuilt;
      return false;
    }
    if (!n.fence.read(at, e.s)) {
      ++totals_.skipped;
      continue;
    }
    count(n, at, e);
  }
  return wrong_.empty();
}

// The log below `next`, which the seat has read, is not what it has read any more.
bool journal_world::changed_behind(const seat& n, std::int64_t next) const {
  if (n.has_view && misfits(n.view)) return true;
  auto known = n.view.known;
  for (auto at = std::max(n.view.at + 1, first_); at < next; ++at)
    if (known.apply(record(at).s, rules_.fence)) return true;
  return false;
}

void journal_world::count(seat& n, std::int64_t at, const entry& e) {
  n.view.take(at, e, n.fence.folded());
  n.has_view = true;
  ++totals_.counted;
  if (n.fence.now() == fence::standing::leading) check_leader(n);
}

void journal_world::check_leader(const seat& n) {
  const auto at = n.view.at;
  if (at >= 0 && at < end() && record(at).id == n.view.id && n.view.digest != truth(at + 1).digest)
    fail("who leads has another state at offset " + std::to_string(at) + " than the log");
}

void journal_world::step_down(seat& n) {
  n.fence.lost();
  n.begun = false;
  if (std::exchange(n.leads, false)) leads_no_more(n);
}

void journal_world::begin_to_lead(seat& n) {
  ++totals_.led;
  n.in_flight.reset();
  n.answer.reset();
  n.published = n.view.feed;
  n.adopted = false;
  n.kept.clear();
  n.leads = true;
  check_leader(n);
  if (n.view.commands < commands_first_) fail("commands that are not dealt with are trimmed");
  began_to_lead(n);
}

void journal_world::lead(seat& n) {
  if (end() < n.fence.next_offset()) return step_down(n);
  if (n.answer && !take_answer(n)) return;
  if (releases(n)) {
    if (!n.in_flight) send(n, {.s = n.fence.next(record_kind::release), .id = ++ids_});
    return;
  }
  switch (pick(8)) {
    case 0:
      return write_snapshot(n);
    case 1:
      return trim(n);
    case 2:
    case 3:
      return publish(n);
    case 4:
      read(n, INT64_MAX);  // the tail that a leader reads as well
      return;
    default: {
      entry e{.id = ++ids_, .on = n.view.digest, .feed = std::max(n.view.feed, n.published)};
      if (n.in_flight || !decide(n, e)) return;
      e.s = n.fence.next(record_kind::batch);
      return send(n, e);
    }
  }
}

// False: it leads no more.
bool journal_world::take_answer(seat& n) {
  const auto [e, offset] = *std::exchange(n.answer, std::nullopt);
  n.in_flight.reset();
  if (offset < 0) return step_down(n), false;
  auto found = n.fence.acknowledged(offset, e.s);
  if (found == fence::ack::gap) {
    if (!read(n, offset - n.fence.next_offset())) return false;
    found = n.fence.acknowledged(offset, e.s);
  }
  if (found != fence::ack::in_place) return step_down(n), false;
  if (n.view.at < offset) count(n, offset, e);
  ++totals_.acted;  // here the effects leave
  if (offset < end() && record(offset).id == e.id && truth(offset + 1).at != offset)
    fail("offset " + std::to_string(offset) + ": acted on a record that readers skip");
  if (e.s.kind == record_kind::batch) committed(n, e);
  return n.fence.now() == fence::standing::leading;
}

void journal_world::publish(seat& n) {
  if (n.feed_stalls > 0) {
    --n.feed_stalls;
    return;
  }
  if (n.published + 1 < first_) {
    // One that was stopped meanwhile and does not know that it leads no more finds nothing, and is not needed.
    if (truth(end()).known.reign == n.fence.own()) fail("records that the feed has not had are trimmed");
    return;
  }
  n.published = std::min(n.fence.next_offset() - 1, n.published + 1 + static_cast<std::int64_t>(pick(20)));
}

// ---- snapshots

void journal_world::write_snapshot(seat& n) {
  if (!n.adopted) {
    n.kept.clear();
    for (auto it = store_.rbegin(); it != store_.rend() && n.kept.size() < keep(); ++it)
      if (usable(*it)) n.kept.push_back(it->of);
    n.adopted = true;
  }
  const auto newest = n.kept.empty() ? -1 : n.kept.front().at;
  if (n.view.at <= newest + 5) return;
  store_.push_back({n.view});
  std::sort(store_.begin(), store_.end(), [](const auto& a, const auto& b) { return a.of.at < b.of.at; });
  n.kept.insert(n.kept.begin(), n.view);
  if (n.kept.size() > keep()) n.kept.resize(keep());
  ++totals_.snapshots;
  if (truth(end()).known.reign == n.fence.own()) ++written_since_loss_;
  if (n.kept.size() >= keep()) std::erase_if(store_, [&](const auto& s) { return s.of.at < n.kept.back().at; });
}

void journal_world::trim(seat& n) {
  if (!n.adopted) return;
  trim_inputs in{.kept = {},
                 .to_keep = keep(),
                 .feed = rules_.feed_is_waited_for,
                 .end = n.fence.next_offset(),
                 .standby_limit = standby_limit};
  for (const auto& k : n.kept) {
    const auto commands = rules_.commands_of_the_oldest ? k.commands : n.view.commands;
    in.kept.push_back(
        {.at = {.offset = k.at, .reign = {}}, .commands = commands, .feed = {.offset = k.feed, .reign = {}}});
  }
  for (auto& other : seats_)
    if (!other.gone && other.has_view && rules_.standbys_are_waited_for) in.standbys.push_back(other.view.at + 1);
  const auto plan = plan_trim(in);
  if (plan.journal_below > first_) {
    for (auto& other : seats_)
      if (!other.gone && other.begun && other.has_view && !misfits(other.view) &&
          other.view.at + 1 < plan.journal_below && n.fence.next_offset() - other.view.at - 1 <= standby_limit)
        fail("a standby at " + std::to_string(other.view.at) + " is overtaken by the trim");
    totals_.trimmed += static_cast<std::uint64_t>(plan.journal_below - first_);
    first_ = std::min(plan.journal_below, end());
    ++totals_.trims;
  }
  commands_first_ = std::max(commands_first_, plan.commands_below);
  if (n.kept.size() >= keep()) trimmed_for_ = std::max(trimmed_for_, n.kept.back().at);
}

}  // namespace pawl::broker::simulated
