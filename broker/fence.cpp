#include "broker/fence.hpp"

#include <cassert>

namespace pawl::broker {

bool fold::apply(const stamp& s, const fence_rules& rules) {
  if (s.kind == record_kind::announcement) {
    if (s.epoch <= epoch) return false;
    *this = {.epoch = s.epoch, .reign = s.reign, .seq = 0, .released = false};
    return true;
  }
  if (rules.epoch && (s.epoch != epoch || s.reign != reign || released)) return false;
  if (rules.seq && s.seq != seq + 1) return false;
  seq = s.seq;
  released = s.kind == record_kind::release;
  return true;
}

bool fence::read(std::int64_t offset, const stamp& s) {
  if (offset < next_) return false;  // a leader has folded it when it was acknowledged
  const bool accepted = fold_.apply(s, rules_);
  next_ = offset + 1;
  if (s.reign == own_ && s.kind != record_kind::announcement && accepted && in_flight_) read_at_ = offset;
  if (standing_ == standing::announcing) {
    if (s.reign == own_ && s.kind == record_kind::announcement)
      standing_ = accepted ? standing::leading : standing::following;
  } else if (standing_ == standing::leading && (fold_.reign != own_ || fold_.released)) {
    standing_ = standing::following;
  }
  return accepted;
}

stamp fence::announce(engine::reign reign) {
  const stamp s{.kind = record_kind::announcement, .epoch = fold_.epoch + 1, .reign = reign, .seq = 0};
  own_ = reign;
  in_flight_ = false;
  standing_ = standing::announcing;
  if (!rules_.announcement) {
    fold_.apply(s, rules_);
    standing_ = standing::leading;
  }
  return s;
}

stamp fence::next(record_kind kind) {
  assert(standing_ == standing::leading && !in_flight_);
  in_flight_ = true;
  read_at_ = -1;
  return {.kind = kind, .epoch = fold_.epoch, .reign = own_, .seq = fold_.seq + 1};
}

fence::ack fence::acknowledged(std::int64_t offset, const stamp& s) {
  if (standing_ != standing::leading || s.reign != own_ || !in_flight_) return ack::stale;
  if (offset > next_ && rules_.contiguity) return ack::gap;
  if (read_at_ != offset) {
    // An offset that the log has given out before: its tail was lost, and ours may be written over.
    if (offset < next_ || (!fold_.apply(s, rules_) && rules_.contiguity)) {
      lost();
      return ack::stale;
    }
    next_ = offset + 1;
  }
  in_flight_ = false;
  if (fold_.released) standing_ = standing::following;
  return ack::in_place;
}

void fence::lost() {
  standing_ = standing::following;
  in_flight_ = false;
}

}  // namespace pawl::broker
