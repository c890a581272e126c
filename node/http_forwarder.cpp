#include "node/http_forwarder.hpp"

#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "node/http_exchange.hpp"

namespace pawl::node {

namespace {

/// How often who waits is asked whether he still wants to.
constexpr int look_ms = 100;

/// One request under way.
struct exchange_under_way {
  explicit exchange_under_way(http_forwarder::request r) : asked(std::move(r)), exchange(asked.node) {
    exchange.prepare(asked.what, asked.timeout);
  }
  http_forwarder::request asked;
  http_exchange exchange;
};

}  // namespace

struct http_forwarder::state {
  explicit state(std::size_t n) : most(n) {}
  ~state() { curl_multi_cleanup(multi); }
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  void run(const std::stop_token& stop);
  void take_new();
  void finish_done();
  void give_up(bool all);
  void end(CURL* handle, CURLcode code);

  const std::size_t most;
  CURLM* const multi = curl_multi_init();
  std::map<CURL*, std::unique_ptr<exchange_under_way>> under_way;  // the thread's own

  std::mutex mutex;  // guards what follows
  std::vector<request> added;
  std::size_t count = 0;  // under way or added
  bool stopped = false;
  std::jthread thread;
};

void http_forwarder::state::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    take_new();
    int running = 0;
    curl_multi_perform(multi, &running);
    finish_done();
    give_up(false);
    curl_multi_poll(multi, nullptr, 0, look_ms, nullptr);
  }
  take_new();
  give_up(true);
}

void http_forwarder::state::take_new() {
  std::vector<request> some;
  {
    const std::lock_guard lock(mutex);
    some.swap(added);
  }
  for (auto& r : some) {
    auto one = std::make_unique<exchange_under_way>(std::move(r));
    auto* const handle = one->exchange.handle();
    under_way.emplace(handle, std::move(one));
    curl_multi_add_handle(multi, handle);
  }
}

void http_forwarder::state::finish_done() {
  int left = 0;
  std::vector<std::pair<CURL*, CURLcode>> done;
  while (const auto* m = curl_multi_info_read(multi, &left))
    if (m->msg == CURLMSG_DONE) done.emplace_back(m->easy_handle, m->data.result);
  for (const auto& [handle, code] : done) end(handle, code);
}

void http_forwarder::state::give_up(bool all) {
  std::vector<CURL*> over;
  for (const auto& [handle, one] : under_way)
    if (all || (one->asked.give_up && one->asked.give_up())) over.push_back(handle);
  for (auto* handle : over) end(handle, CURLE_ABORTED_BY_CALLBACK);
}

void http_forwarder::state::end(CURL* handle, CURLcode code) {
  const auto it = under_way.find(handle);
  const auto one = std::move(it->second);
  under_way.erase(it);
  curl_multi_remove_handle(multi, handle);
  {
    const std::lock_guard lock(mutex);
    --count;
  }
  one->asked.done(one->exchange.outcome(code));
}

http_forwarder::http_forwarder(std::size_t most) : state_(std::make_unique<state>(most)) {
  state_->thread = std::jthread([s = state_.get()](const std::stop_token& stop) { s->run(stop); });
}
http_forwarder::~http_forwarder() { stop(); }

bool http_forwarder::ask(request r) {
  auto& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    if (s.stopped || s.count >= s.most) return false;
    ++s.count;
    s.added.push_back(std::move(r));
  }
  curl_multi_wakeup(s.multi);  // the one call of it that any thread may make
  return true;
}

void http_forwarder::stop() {
  auto& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    if (std::exchange(s.stopped, true)) return;
  }
  s.thread.request_stop();
  curl_multi_wakeup(s.multi);
  s.thread.join();
}

}  // namespace pawl::node
