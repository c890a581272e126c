#include "actors/worker_actor.hpp"

namespace pawl::actors {

namespace {

class worker_state {
 public:
  worker_state(caf::event_based_actor* self, shared_context& node, std::shared_ptr<attempt> a, attempt_place place)
      : self_(self),
        node_(node),
        attempt_(std::move(a)),
        place_(place) {}

  caf::behavior behavior() {
    return {[this](attempt_signal) { on_signal(); }};
  }

  void begin() {
    keep_ = caf::actor_cast<caf::actor>(self_);
    // A weak address: an attempt that lingers must not keep a finished worker.
    attempt_->on_signal([self = caf::actor_cast<caf::actor_addr>(self_)] {
      if (auto worker = caf::actor_cast<caf::actor>(self)) caf::anon_send(worker, attempt_signal{});
    });
    if (attempt_->has_ended()) return attempt_->release_slot();  // the node is stopping; the signal is on its way
    switch (place_) {
      case attempt_place::in_place:
        attempt_->execute();
        break;
      case attempt_place::child:
        begin_child();
        break;
      case attempt_place::pool:
        begin_on_pool();
        break;
    }
  }

 private:
  void begin_on_pool() {
    const auto r = node_.pool.submit(attempt_);
    if (r == submit_result::accepted) return;
    attempt_->release_slot();
    attempt_->give_up(engine::attempt_end::not_begun,
                      {.code = "not_begun", .message = "the pool takes no more functions"});
  }

  void begin_child() {
    // Whoever watches over children may hold this for longer than there are actors.
    kill_ = node_.run_in_child(attempt_, [a = attempt_, self = caf::actor_cast<caf::actor_addr>(self_)](bool died) {
      a->release_slot();
      if (died)
        a->give_up(engine::attempt_end::child_died,
                   {.code = "child_died", .message = "the child process that ran the attempt died by itself"});
      if (auto worker = caf::actor_cast<caf::actor>(self)) caf::anon_send(worker, attempt_signal{});
    });
    const auto limit = attempt_->limits;
    timer_ = node_.clock.at(std::chrono::steady_clock::now() + limit.timeout,
                            [a = attempt_] { a->overdue(overdue_kind::timeout); });
  }

  void on_signal() {
    const auto was = attempt_->settle();
    if (was == attempt::settled::no) return;
    if (was == attempt::settled::timed_out) ++node_.attempts_timed_out;
    if (place_ == attempt_place::child) {
      node_.clock.cancel(timer_);
      if (kill_) kill_();  // does nothing to a child that has gone
    } else if (was == attempt::settled::timed_out) {
      // Over the limit of threads written off, the slot stays taken as long as the function runs.
      if (node_.pool.write_off(*attempt_) != write_off_result::over_limit) attempt_->release_slot();
    }
    leave();
  }

  void leave() {
    self_->quit();
    keep_ = nullptr;
  }

  caf::event_based_actor* self_;
  // CAF ends an actor that nobody refers to; this one has to stay until its attempt has ended, even if the actor of its
  // run is gone.
  caf::actor keep_;
  shared_context& node_;
  std::shared_ptr<attempt> attempt_;
  attempt_place place_;
  std::function<void()> kill_;
  clock::timer_id timer_{};
};

class worker final : public caf::event_based_actor {
 public:
  worker(caf::actor_config& cfg, shared_context* node, std::shared_ptr<attempt> a, attempt_place place)
      : caf::event_based_actor(cfg),
        state_(this, *node, std::move(a), place) {}
  const char* name() const override { return "pawl.worker"; }

 protected:
  caf::behavior make_behavior() override {
    auto b = state_.behavior();
    state_.begin();
    return b;
  }

 private:
  worker_state state_;
};

}  // namespace

caf::actor spawn_worker(caf::event_based_actor* parent, shared_context& node, std::shared_ptr<attempt> a,
                        attempt_place place) {
  return parent->spawn<worker, caf::monitored>(&node, std::move(a), place);
}

}  // namespace pawl::actors
