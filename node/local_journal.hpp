// The journal of a node without a broker, whose workflows send each other commands all the same: its outbox is the same
// as that of a partition of many (broker/outbox_desk.hpp), with one lane, to itself.
#pragma once

#include "broker/outbox_desk.hpp"
#include "store/embedded_journal.hpp"

namespace pawl::node {

/// Of its only partition.
inline constexpr std::int32_t local_partition = 0;

/// append, reopen: one thread. Everything else: any thread.
class local_journal final : public store::journal {
 public:
  /// `of` must outlive it, and is appended to by nobody else.
  explicit local_journal(store::embedded_journal& of);

  store::append_result append(store::record r) override;
  store::append_result reopen() override;
  engine::reign reign() const override { return of_.reign(); }
  engine::run_key next_run_key() const override { return of_.next_run_key(); }
  std::int64_t last_event_time() const override { return of_.last_event_time(); }
  broker::outbox_desk& outbox() { return desk_; }

 private:
  store::embedded_journal& of_;
  broker::outbox_desk desk_;
};

}  // namespace pawl::node
