// Frames, by their first byte. To the child: 'c' the call, 's' stop. To the parent: 'b' alive (the first one says that
// the function is about to begin), 'd' details of a heartbeat, 'l' a level and a line for the log, 'r' the result.
#include "node/child_attempt.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <stop_token>
#include <string_view>
#include <thread>

#include <pawl/codec.hpp>

#include "actors/attempt.hpp"
#include "actors/child_process.hpp"
#include "actors/clock.hpp"
#include "workflow/event_codec.hpp"
#include "workflow/instance.hpp"

namespace pawl::node {

/// An event of the run, for code: its functions and their arguments are found by following the history.
struct child_event {
  std::uint8_t kind = 0;
  std::int64_t at = 0;
  std::uint32_t attempt = 0;
  std::string name;
  std::string body;
  PAWL_FIELDS(kind, at, attempt, name, body)
};

struct child_call {
  std::string type;
  std::uint32_t version = 0;
  std::uint64_t digest = 0;
  std::uint32_t step = 0;
  bool undo = false;
  std::vector<std::string> arguments;
  std::optional<std::string> result;
  std::string workflow_id;
  std::uint32_t run = 1;
  std::string run_uid;
  std::string step_name;
  std::uint32_t attempt = 1;
  std::string idempotency_key;
  std::uint64_t fencing_token = 0;
  std::optional<std::string> details;
  bool outcome_unknown = false;
  bool may_still_run = false;
  std::vector<child_event> history;
  PAWL_FIELDS(type, version, digest, step, undo, arguments, result, workflow_id, run, run_uid, step_name, attempt,
              idempotency_key, fencing_token, details, outcome_unknown, may_still_run, history)
};

struct child_result {
  bool ok = false;
  std::string result;
  std::string code;
  std::string message;
  bool permanent = false;
  std::optional<std::int64_t> retry_in_ms;
  PAWL_FIELDS(ok, result, code, message, permanent, retry_in_ms)
};

namespace {

constexpr std::string_view child_argument = "--pawl-child-attempt";

actors::call_result failed(std::string code, std::string message, bool permanent) {
  return {.ok = false,
          .result = {},
          .error = {.code = std::move(code), .message = std::move(message), .permanent = permanent}};
}

// ---- the parent's side

std::vector<child_event> to_child(const std::vector<engine::event>& history) {
  std::vector<child_event> out;
  for (const auto& e : history) {
    auto& c = out.emplace_back(child_event{.kind = static_cast<std::uint8_t>(e.kind),
                                           .at = engine::to_micros(e.at),
                                           .attempt = e.attempt,
                                           .name = e.name,
                                           .body = {}});
    engine::encode_body(e, c.body);
  }
  return out;
}

child_call call_of(const actors::attempt& a) {
  const auto& f = a.call.facts;
  return {.type = a.call.definition->type,
          .version = a.call.definition->options.version,
          .digest = a.call.definition->digest,
          .step = a.id.step,
          .undo = a.id.undo,
          .arguments = a.call.arguments,
          .result = a.call.result,
          .workflow_id = f.workflow_id,
          .run = f.run,
          .run_uid = f.run_uid,
          .step_name = f.step,
          .attempt = f.attempt,
          .idempotency_key = f.idempotency_key,
          .fencing_token = f.fencing_token,
          .details = f.details,
          .outcome_unknown = f.outcome_unknown,
          .may_still_run = f.may_still_run,
          .history = to_child(a.call.history)};
}

actors::call_result from_child(const child_result& r) {
  actors::call_result out{
      .ok = r.ok, .result = r.result, .error = {.code = r.code, .message = r.message, .permanent = r.permanent}};
  if (r.retry_in_ms) out.error.retry_in = std::chrono::milliseconds(*r.retry_in_ms);
  return out;
}

/// One attempt in one child, as its parent sees it.
class child_run : public std::enable_shared_from_this<child_run> {
 public:
  child_run(std::shared_ptr<actors::attempt> a, std::function<void(bool)> done, actors::clock& clock,
            actors::log_sink log)
      : attempt_(std::move(a)),
        clock_(clock),
        log_(std::move(log)),
        done_(std::move(done)) {}

  std::shared_ptr<actors::child_process> begin(actors::child_group& group, const child_options& options);

 private:
  void on_frame(actors::child_process& child, std::string_view frame);
  void on_exit(const actors::child_exit& e);
  void on_result(std::string_view bytes);
  void on_began();
  void watch(std::chrono::steady_clock::time_point at);
  void finish(bool died);
  /// The child could not do what it is for: an attempt that failed, so that it is repeated with patience.
  void give_up(const std::string& message, bool permanent = false);
  std::string about() const;

  const std::shared_ptr<actors::attempt> attempt_;
  actors::clock& clock_;
  const actors::log_sink log_;
  std::mutex mutex_;
  std::function<void(bool)> done_;  // taken by who calls it
  actors::clock::timer_id timer_{};
  bool began_ = false;  // group's thread only
  std::atomic<std::int64_t> last_beat_{0};
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
};

std::shared_ptr<actors::child_process> child_run::begin(actors::child_group& group, const child_options& options) {
  std::string call;
  try {
    call = 'c' + encode(call_of(*attempt_));
  } catch (const codec_error& e) {
    give_up(std::string("the call cannot be handed to a child process: ") + e.what(), true);
    return nullptr;
  }
  if (call.size() > actors::max_frame) {
    give_up(
        "the arguments are larger than a child process can be handed (" + std::to_string(actors::max_frame) + " bytes)",
        true);
    return nullptr;
  }
  actors::child_spec spec{.args = {options.name, std::string(child_argument)}, .program = options.program};
  const auto self = shared_from_this();
  spec.on_frame = [self](actors::child_process& child, std::string frame) { self->on_frame(child, frame); };
  spec.on_exit = [self](actors::child_process&, const actors::child_exit& e) { self->on_exit(e); };
  const auto started = group.start(std::move(spec));
  if (!started.child) {
    give_up("a child process cannot be started: " + started.what + ": " + started.error.message());
    return nullptr;
  }
  // A child that is gone already has its on_exit; nothing was sent before, so there can be no backlog.
  started.child->send(call);
  const std::weak_ptr<actors::child_process> weak = started.child;
  on_stop_.emplace(attempt_->stop_token(), [weak] {
    if (const auto child = weak.lock()) child->send("s");
  });
  return started.child;
}

void child_run::on_frame(actors::child_process& child, std::string_view frame) {
  if (frame.empty()) return child.kill();
  last_beat_ = std::chrono::steady_clock::now().time_since_epoch().count();
  const auto rest = frame.substr(1);
  switch (frame.front()) {
    case 'b':
      if (!std::exchange(began_, true)) return on_began();
      return attempt_->heartbeat(std::nullopt);
    case 'd':
      return attempt_->heartbeat(std::string(rest));
    case 'l':
      if (!rest.empty())
        attempt_->log(static_cast<log_level>(std::min<unsigned char>(static_cast<unsigned char>(rest.front()), 3)),
                      rest.substr(1));
      return;
    case 'r':
      return on_result(rest);
    default:
      return child.kill();
  }
}

void child_run::on_began() {
  const auto silence = attempt_->limits.heartbeat;
  if (silence && silence->count() > 0) watch(std::chrono::steady_clock::now() + *silence);
}

// One timer at a time, which looks when the last sign of life was.
void child_run::watch(std::chrono::steady_clock::time_point at) {
  const std::lock_guard lock(mutex_);
  if (!done_) return;
  timer_ = clock_.at(at, [weak = weak_from_this()] {
    const auto self = weak.lock();
    if (!self) return;
    const std::chrono::steady_clock::time_point last{std::chrono::steady_clock::duration(self->last_beat_.load())};
    const auto until = last + *self->attempt_->limits.heartbeat;
    if (std::chrono::steady_clock::now() < until) return self->watch(until);
    self->attempt_->overdue(actors::overdue_kind::heartbeat);
  });
}

void child_run::on_result(std::string_view bytes) {
  try {
    attempt_->report(from_child(decode<child_result>(bytes)));
  } catch (const codec_error& e) {
    attempt_->report(
        failed("child", std::string("the child process sent a result that cannot be read: ") + e.what(), false));
  }
  finish(false);
}

void child_run::on_exit(const actors::child_exit& e) {
  if (e.by_us) {
    // Its attempt has ended, or the node goes.
    attempt_->give_up(engine::attempt_end::interrupted,
                      {.code = "interrupted", .message = "the child process was stopped"});
    return finish(false);
  }
  bool unfinished = false;
  {
    const std::lock_guard lock(mutex_);
    unfinished = static_cast<bool>(done_);
  }
  if (!unfinished) return;
  const auto how = e.bad_frame ? std::string("a message that is too large") : e.describe();
  if (log_) log_(log_level::warn, "child process died " + about() + " how=\"" + how + "\"");
  // Before the function began it cannot have been the function.
  if (!began_) return give_up("the child process ended before the step began: " + how);
  finish(true);
}

void child_run::give_up(const std::string& message, bool permanent) {
  if (log_) log_(log_level::warn, "child process did not run " + about() + " error=\"" + message + "\"");
  attempt_->report(failed("child", message, permanent));
  finish(false);
}

void child_run::finish(bool died) {
  std::function<void(bool)> done;
  actors::clock::timer_id timer;
  {
    const std::lock_guard lock(mutex_);
    done = std::exchange(done_, nullptr);
    timer = timer_;
  }
  if (!done) return;
  clock_.cancel(timer);
  done(died);
}

std::string child_run::about() const {
  const auto& f = attempt_->call.facts;
  return "workflow=" + f.workflow_id + " run=" + std::to_string(f.run) + " step=" + f.step +
         " attempt=" + std::to_string(f.attempt);
}

/// What all children of one node share. The group goes first: its last callbacks use the clock.
struct child_runtime {
  actors::clock clock;
  actors::child_group group;
};

struct child_host {
  std::mutex mutex;
  std::unique_ptr<child_runtime> runtime;
};

}  // namespace

actors::child_runner make_child_runner(actors::log_sink log, child_options options) {
  return [host = std::make_shared<child_host>(), log = std::move(log), options = std::move(options)](
             std::shared_ptr<actors::attempt> a, std::function<void(bool)> done) -> std::function<void()> {
    child_runtime* runtime = nullptr;
    {
      const std::lock_guard lock(host->mutex);
      if (!host->runtime) host->runtime = std::make_unique<child_runtime>();
      runtime = host->runtime.get();
    }
    const auto run = std::make_shared<child_run>(std::move(a), std::move(done), runtime->clock, log);
    return [child = run->begin(runtime->group, options)] {
      if (child) child->kill();
    };
  };
}

// ---- the child's side

namespace {

constexpr int mismatch = 3;

/// The attempt's port in the child: everything becomes a frame. Thread-safe.
class child_port final : public pawl::detail::attempt_port {
 public:
  void heartbeat(std::optional<std::string> details) override { send(details ? 'd' + *details : std::string("b")); }
  void log(log_level level, std::string_view text) override {
    constexpr std::size_t longest = 64 * 1024;
    std::string frame{'l', static_cast<char>(level)};
    send(frame.append(text.substr(0, longest)));
  }
  /// False: the frame is too large.
  bool send(std::string_view frame) {
    const std::lock_guard lock(mutex_);
    if (frame.size() > actors::max_frame) return false;
    // Without a parent there is nobody to work for; the kernel is about to kill this process in any case.
    if (!actors::write_frame(actors::child_frame_fd, frame)) ::_exit(1);
    return true;
  }

 private:
  std::mutex mutex_;
};

child_result to_result(const actors::call_result& r) {
  child_result out{.ok = r.ok,
                   .result = r.result,
                   .code = r.error.code,
                   .message = r.error.message,
                   .permanent = r.error.permanent,
                   .retry_in_ms = {}};
  if (r.error.retry_in) out.retry_in_ms = r.error.retry_in->count();
  return out;
}

void send_result(child_port& port, const actors::call_result& r) {
  if (!port.send('r' + encode(to_result(r))))
    port.send('r' + encode(to_result(failed("too_large",
                                            "the result has " + std::to_string(r.result.size()) +
                                                " bytes, more than a child process can hand over",
                                            true))));
}

/// Nothing when the definition does not have that step, or code does not ask for it at this point of its history.
std::optional<engine::step_call> function_of(std::shared_ptr<const pawl::detail::workflow_definition> definition,
                                             const child_call& c) {
  const auto run = engine::make_instance(std::move(definition));
  for (std::size_t n = 0; n < c.history.size(); ++n) {
    const auto& from = c.history[n];
    engine::event e;
    e.kind = static_cast<engine::event_kind>(from.kind);
    e.seq = n + 1;
    e.at = engine::from_micros(from.at);
    e.attempt = from.attempt;
    e.name = from.name;
    if (!engine::decode_body(from.body, e).empty()) return std::nullopt;
    engine::evolve(*run, e);
  }
  const auto step = run->program->step(c.step);
  if (!(c.undo ? step.undo_options : step.options)) return std::nullopt;
  return run->program->call(c.step, c.undo, {});
}

/// The call as the engine's own; false: this binary does not have that step, and the result says so.
bool to_engine(child_call c, const registry& types, actors::attempt_call& out, std::string& wrong) {
  out.definition = types.find(c.type, c.version);
  const bool same = out.definition && out.definition->digest == c.digest;
  const auto call = same ? function_of(out.definition, c) : std::nullopt;
  if (!call) {
    wrong = "the binary was replaced: it has another workflow type '" + c.type + "' version " +
            std::to_string(c.version) + ". Restart the node";
    return false;
  }
  out.invoke = call->invoke;
  out.undo = call->undo;
  auto& f = out.facts;
  f.workflow_id = std::move(c.workflow_id);
  f.run = c.run;
  f.run_uid = std::move(c.run_uid);
  f.step = std::move(c.step_name);
  f.attempt = c.attempt;
  f.idempotency_key = std::move(c.idempotency_key);
  f.fencing_token = c.fencing_token;
  f.details = std::move(c.details);
  f.is_undo = c.undo;
  f.outcome_unknown = c.outcome_unknown;
  f.may_still_run = c.may_still_run;
  out.arguments = std::move(c.arguments);
  out.result = std::move(c.result);
  return true;
}

/// Hears the parent while the function runs. Detached: it ends with the process.
void listen(std::stop_source stop) {
  std::thread([stop = std::move(stop)]() mutable {
    std::string frame;
    while (actors::read_frame(actors::child_frame_fd, frame) == actors::frame_result::frame)
      if (frame == "s") stop.request_stop();
    ::_exit(1);
  }).detach();
}

}  // namespace

std::optional<int> run_child_attempt(int argc, char** argv, const registry& types) {
  if (argc != 2 || argv[1] != child_argument) return std::nullopt;
  if (!actors::enter_child()) return 2;  // somebody typed it
  std::string frame;
  if (actors::read_frame(actors::child_frame_fd, frame) != actors::frame_result::frame || !frame.starts_with('c'))
    return mismatch;
  child_port port;
  actors::attempt_call call;
  std::string wrong;
  try {
    to_engine(decode<child_call>(std::string_view(frame).substr(1)), types, call, wrong);
  } catch (const codec_error& e) {
    wrong = std::string("the call cannot be read: ") + e.what();
  }
  if (!wrong.empty()) {
    send_result(port, failed("child", wrong, false));
    ::_exit(0);
  }
  std::stop_source stop;
  listen(stop);
  port.heartbeat(std::nullopt);
  step_context context(call.facts, port, stop.get_token());
  send_result(port, actors::run_function(call, context));
  // Not through main: the function may have left threads behind that use what would be destroyed.
  ::_exit(0);
}

}  // namespace pawl::node
