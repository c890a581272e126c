#include "node/local_journal.hpp"

#include <utility>

namespace pawl::node {

local_journal::local_journal(store::embedded_journal& of) : of_(of) { desk_.begin(of_.outbox(), of_.reign()); }

store::append_result local_journal::append(store::record r) {
  auto changes = std::exchange(r.outbox, {});
  desk_.take_messages(changes);
  desk_.take_marks(-1, changes);
  auto done = of_.append(r, changes);
  if (done.status == store::append_status::committed)
    desk_.committed(changes);
  else if (done.status == store::append_status::refused)
    desk_.begin(of_.outbox(), of_.reign());  // the numbers that were given are free again
  else
    desk_.end();
  return done;
}

store::append_result local_journal::reopen() {
  auto done = of_.reopen();
  if (done.status == store::append_status::committed) desk_.begin(of_.outbox(), of_.reign());
  return done;
}

}  // namespace pawl::node
