#include "store/journal.hpp"

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
  engine::encode_body(e, row.body);
  return row;
}

}  // namespace pawl::store
