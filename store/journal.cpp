#include "store/journal.hpp"

#include <string>
#include <utility>

#include "workflow/event_codec.hpp"

namespace pawl::store {

event_row to_row(const engine::event& e) {
  event_row row{.seq = e.seq,
                .at = engine::to_micros(e.at),
                .kind = e.kind,
                .attempt = e.attempt,
                .step = e.name,
                .body = {},
                .undo = e.undo};
  static thread_local std::string body;  // grows once; the row's own is exactly as long as it has to be
  body.clear();
  engine::encode_body(e, body);
  row.body = body;
  return row;
}

bool receive_state::fold(const receive_mark& m) {
  const auto before = std::exchange(what, m.what);
  if (what == receive_mark::state::any) {
    stretches.clear();
    return false;
  }
  if (m.number == number()) return false;
  if (!stretches.empty() && stretches.back().reign == m.reign) {
    stretches.back().last = m.number;
    return false;
  }
  const bool anywhere = before == receive_mark::state::any;
  stretches.push_back({.first = anywhere ? m.number : number() + 1, .last = m.number, .reign = m.reign});
  if (stretches.size() > most_stretches) stretches.erase(stretches.begin());
  return true;
}

}  // namespace pawl::store
