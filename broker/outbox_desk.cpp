#include "broker/outbox_desk.hpp"

#include <charconv>

#include "workflow/packed.hpp"

namespace pawl::broker {

using namespace engine::packed;

std::string pack_message(const outgoing_command& m) {
  std::string out;
  sink to{out};
  packer p{to};
  p.pack_array(3);
  if (m.key)
    put_bin(p, *m.key);
  else
    p.pack_nil();
  put_bin(p, m.value);
  p.pack_array(static_cast<std::uint32_t>(m.headers.size()));
  for (const auto& [name, value] : m.headers) {
    p.pack_array(2);
    put_text(p, name);
    put_bin(p, value);
  }
  return out;
}

bool unpack_message(std::string_view bytes, outgoing_command& out) {
  try {
    const auto handle = unpack_whole(bytes, "the message");
    const auto& o = handle.get();
    out = {};
    if (!element(o, 0).is_nil()) out.key = get_text(element(o, 0));
    out.value = get_text(element(o, 1));
    const auto& headers = element(o, 2);
    for (std::uint32_t k = 0, n = size_of(headers); k < n; ++k)
      out.headers.emplace_back(get_text(element(headers.via.array.ptr[k], 0)),
                               get_text(element(headers.via.array.ptr[k], 1)));
    return true;
  } catch (const malformed&) {
    return false;
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {
    return false;
  }
}

std::string to_text(const outbox_place& p) {
  return std::to_string(p.from) + "/" + std::to_string(p.number) + "/" + engine::to_text(p.reign);
}

std::optional<outbox_place> place_from_text(std::string_view text) {
  const auto first = text.find('/');
  const auto second = text.find('/', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto number = [](std::string_view digits, auto& out) {
    const auto r = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return r.ec == std::errc() && r.ptr == digits.data() + digits.size();
  };
  outbox_place p;
  engine::run_uid uid;
  if (!number(text.substr(0, first), p.from) || p.from < 0) return std::nullopt;
  if (!number(text.substr(first + 1, second - first - 1), p.number) || p.number == 0) return std::nullopt;
  if (!from_text(std::string(text.substr(second + 1)) + "-0", uid)) return std::nullopt;
  p.reign = uid.reign;
  return p;
}

// ---- the intake's

bool outbox_desk::forward(std::int64_t offset, std::int32_t to, const outgoing_command& m) {
  auto message = pack_message(m);
  const std::lock_guard lock(mutex_);
  if (!leads_ || !reading_ || (!staged_.empty() && staged_bytes_ + message.size() > most_staged_bytes)) return false;
  staged_bytes_ += message.size();
  staged_.push_back({offset, to, std::move(message)});
  return true;
}

void outbox_desk::received(std::int64_t offset, const store::receive_mark& m) {
  const std::lock_guard lock(mutex_);
  // Of a reading that began under an earlier leading it says nothing.
  if (reading_) marks_.insert_or_assign(offset, m);
}

std::vector<store::receive_state> outbox_desk::begin_reading(std::int64_t position) {
  const std::lock_guard lock(mutex_);
  reading_ = leads_;
  marks_.erase(marks_.lower_bound(position), marks_.end());
  std::erase_if(staged_, [&](const staged& s) { return s.offset >= position; });
  staged_bytes_ = 0;
  for (const auto& s : staged_) staged_bytes_ += s.message.size();
  std::vector<store::receive_state> out;
  out.reserve(received_.size());
  for (const auto& [from, s] : received_) out.push_back(s);
  return out;
}

// ---- the appender's

void outbox_desk::begin(store::outbox_state s, const engine::reign& reign) {
  const std::lock_guard lock(mutex_);
  leads_ = true;
  reading_ = false;
  ++generation_;
  reign_ = reign;
  lanes_.clear();
  for (const auto& l : s.lanes)
    lanes_[l.to] = {.of = outbox_lane(l.given_below, l.acknowledged_below), .journaled_below = l.acknowledged_below};
  received_.clear();
  for (auto& r : s.received) received_[r.from] = std::move(r);
  marks_.clear();
  staged_.clear();
  staged_bytes_ = kept_bytes_ = 0;
  woken_.notify_all();
}

void outbox_desk::end() {
  const std::lock_guard lock(mutex_);
  leads_ = reading_ = false;
  ++generation_;
  lanes_.clear();
}

std::vector<std::int64_t> outbox_desk::take_messages(store::outbox_changes& into) {
  const std::lock_guard lock(mutex_);
  std::vector<std::int64_t> offsets;
  for (auto& s : staged_) {
    offsets.push_back(s.offset);
    into.messages.push_back({.to = s.to, .message = std::move(s.message)});
  }
  staged_.clear();
  staged_bytes_ = 0;
  for (auto& m : into.messages) {
    m.number = lanes_[m.to].of.give();
    m.reign = reign_;
  }
  return offsets;
}

bool outbox_desk::take_marks(std::int64_t position, store::outbox_changes& into) {
  const std::lock_guard lock(mutex_);
  for (const auto end = marks_.lower_bound(position); marks_.begin() != end;) {
    const auto m = marks_.begin()->second;
    marks_.erase(marks_.begin());
    // One for each stretch of one reign.
    using state = store::receive_mark::state;
    auto before = into.received.end();
    for (auto it = into.received.begin(); it != into.received.end(); ++it)
      if (it->from == m.from) before = it;
    const bool same = before != into.received.end() && before->reign == m.reign && before->what == state::in_order &&
                      m.what == state::in_order;
    if (same)
      before->number = m.number;
    else
      into.received.push_back(m);
    received_[m.from].from = m.from;
    received_[m.from].fold(m);
  }
  for (const auto& [to, l] : lanes_)
    if (l.of.acknowledged_below() > l.journaled_below)
      into.acknowledged.push_back({.to = to, .below = l.of.acknowledged_below()});
  return !into.empty();
}

void outbox_desk::committed(const store::outbox_changes& c) {
  const std::lock_guard lock(mutex_);
  for (const auto& a : c.acknowledged) lanes_[a.to].journaled_below = a.below;
  for (const auto& m : c.messages) keep(m);
  for (auto& [to, l] : lanes_) l.of.committed();
  counts_.forwarded += c.messages.size();
  if (!c.messages.empty()) woken_.notify_all();
}

void outbox_desk::keep(const store::outbox_row& m) {
  if (kept_bytes_ + m.message.size() > most_kept_bytes) return;
  kept_bytes_ += m.message.size();
  lanes_[m.to].messages[m.number] = {m.reign, m.message};
}

// ---- the sender's

std::vector<outbox_desk::task> outbox_desk::next(std::chrono::milliseconds wait) {
  std::unique_lock lock(mutex_);
  const auto something = [&] {
    if (awake_) return true;
    if (!leads_) return false;
    for (const auto& [to, l] : lanes_)
      if (l.of.may_send() && l.of.under_way() < outbox_window) return true;
    return false;
  };
  if (wait.count() > 0) woken_.wait_for(lock, wait, something);
  awake_ = false;
  std::vector<task> out;
  if (!leads_) return out;
  for (auto& [to, l] : lanes_)
    while (const auto s = l.of.next(outbox_window)) {
      task t{.to = to, .sending = *s, .generation = generation_};
      if (const auto it = l.messages.find(s->number); it != l.messages.end()) {
        t.reign = it->second.reign;
        t.message = it->second.message;
      }
      out.push_back(std::move(t));
    }
  return out;
}

void outbox_desk::acknowledged(const task& t) {
  const std::lock_guard lock(mutex_);
  const auto it = lanes_.find(t.to);
  if (t.generation != generation_ || it == lanes_.end()) return;
  auto& l = it->second;
  l.of.acknowledged(t.sending);
  ++counts_.acknowledged;
  while (!l.messages.empty() && l.messages.begin()->first < l.of.acknowledged_below()) {
    kept_bytes_ -= l.messages.begin()->second.message.size();
    l.messages.erase(l.messages.begin());
  }
}

void outbox_desk::failed(const task& t) {
  const std::lock_guard lock(mutex_);
  const auto it = lanes_.find(t.to);
  if (t.generation == generation_ && it != lanes_.end()) it->second.of.failed(t.sending);
}

void outbox_desk::all_failed() {
  const std::lock_guard lock(mutex_);
  ++counts_.begun;
  for (auto& [to, l] : lanes_) l.of.all_failed();
}

void outbox_desk::wake() {
  const std::lock_guard lock(mutex_);
  awake_ = true;
  woken_.notify_all();
}

outbox_stats outbox_desk::stats() const {
  const std::lock_guard lock(mutex_);
  auto s = counts_;
  for (const auto& [to, l] : lanes_) s.waiting += l.of.waiting();
  return s;
}

std::vector<std::int32_t> outbox_desk::diverged() const {
  const std::lock_guard lock(mutex_);
  std::map<std::int32_t, store::receive_mark::state> now;
  for (const auto& [from, s] : received_) now[from] = s.what;
  // What waits for the next batch has happened all the same.
  for (const auto& [offset, m] : marks_) now[m.from] = m.what;
  std::vector<std::int32_t> out;
  for (const auto& [from, what] : now)
    if (what == store::receive_mark::state::diverged) out.push_back(from);
  return out;
}

void outbox_desk::count_stub() {
  const std::lock_guard lock(mutex_);
  ++counts_.stubs;
}

}  // namespace pawl::broker
