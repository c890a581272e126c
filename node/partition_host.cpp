#include "node/partition_host.hpp"

#include <algorithm>
#include <filesystem>

#include "config/setting.hpp"
#include "node/local_post.hpp"
#include "store/data_directory.hpp"
#include "store/errors.hpp"

namespace pawl::node {

namespace {

using namespace std::chrono_literals;
using broker::partition_role;

constexpr auto follow_wait = 50ms;
/// Between two looks at whether this node is to follow, or may go on leading.
constexpr auto look_wait = 100ms;
constexpr auto first_pause = 100ms;
constexpr auto longest_pause = 5'000ms;
/// On giving a partition up, what the feed gets to publish what is in the journal; who comes next publishes the rest.
constexpr auto feed_grace_for_others = 100ms;
constexpr auto feed_grace_alone = 2'000ms;

}  // namespace

partition_host::partition_host(partition_host_options o)
    : options_(std::move(o)),
      name_(options_.name_space + "/" + std::to_string(options_.number)),
      since_(std::chrono::steady_clock::now()),
      thread_([this] { run(); }) {}

partition_host::~partition_host() { stop(); }

void partition_host::release() {
  {
    const std::lock_guard lock(mutex_);
    releasing_ = true;
  }
  woken_.notify_all();
}

void partition_host::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = releasing_ = true;
  }
  woken_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool partition_host::is_releasing() const {
  const std::lock_guard lock(mutex_);
  return releasing_;
}

bool partition_host::is_leading() const {
  const std::lock_guard lock(mutex_);
  return engine_;
}

partition_host_status partition_host::status() const {
  const std::lock_guard lock(mutex_);
  partition_host_status s{.role = role_,
                          .holds_view = view_ != nullptr,
                          .engine = engine_,
                          .since = since_,
                          .views_opened = views_opened_,
                          .views_set_aside = views_set_aside_,
                          .trouble = trouble_};
  if (journal_) {
    s.journal = journal_->stats();
    s.fed = journal_->fed().offset;
    if (engine_) {
      s.outbox_waiting = static_cast<std::int64_t>(journal_->outbox().stats().waiting);
      s.diverged_from = journal_->outbox().diverged();
    }
  }
  if (commands_) s.commands = commands_->stats();
  if (feed_) s.feed = feed_->stats();
  if (snapshotter_) s.snapshots = snapshotter_->stats();
  return s;
}

std::optional<broker::partition_report> partition_host::report() const {
  const std::lock_guard lock(mutex_);
  // Passed over, until it is read anew.
  if (std::chrono::steady_clock::now() < rests_until_)
    return broker::partition_report{.partition = options_.number, .role = partition_role::diverged};
  if (!journal_) return std::nullopt;
  return broker::partition_report{.partition = options_.number, .role = role_, .position = journal_->stats().position};
}

std::unique_ptr<store::view> partition_host::open_view() const {
  options_.system.await_views(options_.number);
  const std::lock_guard lock(mutex_);
  return view_ ? view_->open_view() : nullptr;
}

std::function<void(const std::string&)> partition_host::warner(const char* event) const {
  return [log = options_.log, event, name = name_](const std::string& text) {
    log.write(log_level::warn, event, {{"partition", name}, {"text", text}});
  };
}

// True: it is to stop.
bool partition_host::wait(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  woken_.wait_for(lock, time, [this] { return stopping_; });
  return stopping_;
}

void partition_host::set_role(partition_role role) {
  {
    const std::lock_guard lock(mutex_);
    if (role_ == role) return;
    role_ = role;
    since_ = std::chrono::steady_clock::now();
  }
  options_.log.write(log_level::info, "partition", {{"partition", name_}, {"role", std::string(broker::text(role))}});
  options_.members.beat_now();
}

// ---- the life of it

void partition_host::run() {
  std::chrono::milliseconds pause = first_pause;
  for (;;) {
    try {
      if (wait(0ms)) break;
      options_.disk.look();
      if (is_releasing() || options_.disk.sick() || is_resting() || !options_.members.should_follow(options_.number)) {
        close();
        if (wait(look_wait)) break;
        continue;
      }
      if (!open()) throw store::store_error("the view cannot be opened");
      follow();
      pause = first_pause;
      const std::lock_guard lock(mutex_);
      trouble_.clear();
    } catch (const store::write_error& e) {
      on_view_failed(e);
      if (trying_again(e.what(), pause)) break;
    } catch (const std::exception& e) {
      if (trying_again(e.what(), pause)) break;
    }
  }
  close();
}

// Longer and longer between one try and the next. True: it is to stop.
bool partition_host::trying_again(const char* trouble, std::chrono::milliseconds& pause) {
  {
    const std::lock_guard lock(mutex_);
    trouble_ = trouble;
  }
  warner("a partition cannot be followed, trying again")(trouble);
  const auto waited = std::exchange(pause, std::min<std::chrono::milliseconds>(pause * 2, longest_pause));
  return wait(waited);
}

void partition_host::follow() {
  const bool any = journal_->follow(follow_wait);
  const auto s = journal_->stats();
  const bool near = s.end - s.position <= broker::close_enough;
  if (diverges_again_and_again()) return;
  const bool anew = s.rebuilt > 0 && role_now() == partition_role::diverged;
  set_role(near ? partition_role::standby : anew ? partition_role::diverged : partition_role::catching_up);
  if (any && !near) return;
  if (is_releasing()) return;
  if (options_.members.consider(options_.number, end()) == broker::verdict::announce) lead();
}

// True: too often; others are to have it for a while.
bool partition_host::diverges_again_and_again() {
  const auto rebuilt = journal_->stats().rebuilt;
  if (rebuilt == rebuilt_) return false;
  rebuilt_ = rebuilt;
  set_role(partition_role::diverged);
  if (!divergences_.hit()) return false;
  {
    const std::lock_guard lock(mutex_);
    rests_until_ = std::chrono::steady_clock::now() + divergence_rest;
    trouble_ = "its journal has diverged " + std::to_string(most_divergences) + " times within " +
               std::to_string(divergence_window.count()) + " min: this node leaves it to others for a while";
  }
  options_.log.write(log_level::error, "a journal diverges again and again; the partition is left to others",
                     {{"partition", name_}, {"seconds", std::to_string(divergence_rest.count() / 1000)}});
  return true;
}

bool partition_host::is_resting() const {
  const std::lock_guard lock(mutex_);
  return std::chrono::steady_clock::now() < rests_until_;
}

partition_role partition_host::role_now() const {
  const std::lock_guard lock(mutex_);
  return role_;
}

broker::journal_end partition_host::end() const {
  const auto s = journal_->stats();
  return {.offset = s.end, .released = s.released, .own_view = s.position};
}

void partition_host::lead() {
  set_role(partition_role::announcing);
  bool leads = false;
  try {
    leads = journal_->announce();
  } catch (...) {
    options_.members.refused(options_.number);
    set_role(partition_role::catching_up);
    throw;
  }
  if (!leads) {
    options_.members.refused(options_.number);
    return set_role(partition_role::standby);
  }
  {
    const std::lock_guard lock(mutex_);
    lost_.clear();
    broken_.clear();
  }
  const auto woken = [this](std::string partition_host::* what) {
    return [this, what](const std::string& why) {
      {
        const std::lock_guard lock(mutex_);
        this->*what = why.empty() ? "no reason is known" : why;
      }
      woken_.notify_all();
    };
  };
  auto* view = view_.get();
  try {
    options_.system.lead({.number = options_.number,
                          .journal = *journal_,
                          .may_exist = [view](std::string_view id) { return view->may_exist(id); },
                          .open_view = [view] { return view->open_view(); },
                          .living = std::nullopt,
                          .pack = make_message_packer(options_.partitions),
                          .pack_mark = make_mark_packer(options_.number, options_.partitions),
                          .on_broken = woken(&partition_host::broken_),
                          .on_deposed = woken(&partition_host::lost_)});
  } catch (const std::exception& e) {
    woken (&partition_host::lost_)(e.what());  // the view cannot be read
    return give_up_leading();
  }
  {
    const std::lock_guard lock(mutex_);
    engine_ = true;
  }
  set_role(partition_role::leading);
  try {
    nodes_ = {};
    start_feed();
    start_commands();
    start_snapshots();
    serve();
  } catch (const std::exception& e) {
    const std::lock_guard lock(mutex_);
    lost_ = e.what();
  }
  give_up_leading();
}

// Until something ends the leading.
void partition_host::serve() {
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      woken_.wait_for(lock, look_wait, [this] { return releasing_ || !lost_.empty() || !broken_.empty(); });
      if (releasing_ || !lost_.empty() || !broken_.empty()) return;
    }
    watch_nodes();
    // Where nothing is appended, somebody else's announcement is heard of only so.
    if (!journal_->stats().doubt.empty()) options_.system.barrier(options_.number, [](bool) {});
    const auto v = options_.members.consider(options_.number, end());
    std::string why;
    if (options_.disk.sick())
      why = "the disk is sick: " + options_.disk.why();
    else if (v == broker::verdict::unfit || v == broker::verdict::replaced)
      why = "this node may not lead: " + std::string(broker::text(v));
    else if (journal_->stats().rebuilt != rebuilt_ && diverges_again_and_again())
      why = "its journal has diverged again and again";
    if (why.empty()) continue;
    const std::lock_guard lock(mutex_);
    lost_ = why;
    return;
  }
}

void partition_host::give_up_leading() {
  std::string lost;
  std::string broken;
  {
    const std::lock_guard lock(mutex_);
    lost = lost_;
    broken = broken_;
    engine_ = false;
  }
  set_role(partition_role::releasing);
  if (commands_) commands_->stop();
  std::unique_ptr<broker::snapshotter> snapshotter;
  std::unique_ptr<broker::outbox_sender> outbox;
  {
    const std::lock_guard lock(mutex_);
    snapshotter = std::move(snapshotter_);
    outbox = std::move(outbox_);
  }
  snapshotter.reset();
  outbox.reset();
  const auto epoch = journal_->epoch();
  options_.system.leave(options_.number);
  options_.courier.tell_held(options_.number, epoch, options_.system.held(options_.number));
  if (feed_ && lost.empty() && broken.empty())
    feed_->stop(options_.members.has_others() ? feed_grace_for_others : feed_grace_alone);
  const bool released = journal_->release();
  options_.log.write(lost.empty() && broken.empty() ? log_level::info : log_level::warn, "partition given up",
                     {{"partition", name_},
                      {"why", lost.empty() ? (broken.empty() ? "asked to" : broken) : lost},
                      {"released", released ? "yes" : "no"}});
  {
    const std::lock_guard lock(mutex_);
    std::exchange(commands_, nullptr);
    std::exchange(feed_, nullptr);
  }
  options_.members.refused(options_.number);
  set_role(partition_role::catching_up);
  if (!broken.empty()) set_aside(broken);
}

broker::kafka_journal_options::again partition_host::lead_again() const {
  using again = broker::kafka_journal_options::again;
  if (is_releasing()) return again::no;
  switch (options_.members.consider(options_.number, end())) {
    case broker::verdict::announce:
    case broker::verdict::leads:
      return again::yes;
    case broker::verdict::unheard:
    case broker::verdict::waiting:
      return again::not_yet;
    case broker::verdict::replaced:
    case broker::verdict::unfit:
    case broker::verdict::catching_up:
    case broker::verdict::other:
      break;
  }
  return again::no;
}

// ---- what it holds

bool partition_host::open() {
  if (journal_) return true;
  if (!view_ && !open_view_file()) return false;
  broker::kafka_journal_options o;
  o.client = options_.client;
  o.topic = options_.name_space + ".journal";
  o.partition = options_.number;
  o.who = options_.who;
  o.append_timeout = options_.append_timeout;
  o.lead_again = [this] { return lead_again(); };
  o.all_read = [m = &options_.members] {
    return m->look([](const broker::ownership& own) { return own.fold().formats().journal; });
  };
  o.view_full = [this](const std::string& why) { options_.disk.failed(why); };
  o.snapshots = options_.snapshots;
  o.warn = warner("journal");
  o.told = [log = options_.log, name = name_](const std::string& text) {
    log.write(log_level::info, "journal", {{"partition", name}, {"text", text}});
  };
  o.progress = [log = options_.log, name = name_](const broker::catch_up_progress& p) {
    const auto all = std::max<std::int64_t>(1, p.end - p.from);
    log.write(log_level::info, p.anew ? "building the view anew" : "catching up",
              {{"partition", name},
               {"offset", std::to_string(p.offset)},
               {"end", std::to_string(p.end)},
               {"percent", std::to_string((p.offset - p.from) * 100 / all)}});
  };
  auto opened = broker::follow_kafka_journal(std::move(o), *view_);
  rebuilt_ = 0;
  const std::lock_guard lock(mutex_);
  journal_ = std::move(opened);
  return true;
}

// A file that is damaged is set aside, once; what fails then is told by the exception.
bool partition_host::open_view_file() {
  std::unique_ptr<store::embedded_journal> opened;
  try {
    std::filesystem::create_directories(options_.view.directory);
    opened = store::open_embedded(options_.view);
  } catch (const std::filesystem::filesystem_error& e) {
    options_.disk.failed(e.what());
    throw;
  } catch (const store::write_error& e) {
    if (e.status() != store::append_status::broken) throw;
    set_aside(e.what());
    opened = store::open_embedded(options_.view);
  }
  const std::lock_guard lock(mutex_);
  view_ = std::move(opened);
  ++views_opened_;
  return true;
}

// What is open is of no use any more. A full disk is nobody's damage; a file that is damaged may be one bad spot, but
// not again and again.
void partition_host::on_view_failed(const store::write_error& e) {
  close();
  if (e.status() == store::append_status::no_space) return options_.disk.failed(e.what());
  if (e.status() == store::append_status::broken) set_aside(e.what());
}

void partition_host::close() {
  std::unique_ptr<broker::kafka_journal> journal;
  std::unique_ptr<store::embedded_journal> view;
  {
    const std::lock_guard lock(mutex_);
    journal = std::move(journal_);
    view = std::move(view_);
  }
}

// Renamed, not deleted: whoever has to find out what happened to the disk wants to see it. The one before it goes.
void partition_host::set_aside(const std::string& why) {
  close();
  const auto file = store::database_file(options_.view.directory);
  std::error_code ignored;
  for (const char* part : {"", "-wal", "-shm"}) std::filesystem::rename(file + part, file + ".damaged" + part, ignored);
  store::check_is_done(options_.view.directory);
  {
    const std::lock_guard lock(mutex_);
    ++views_set_aside_;
  }
  if (damages_.hit()) options_.disk.failed("views are damaged again and again, at last: " + why);
  options_.log.write(log_level::error, "the view of a partition cannot be used and is built anew from the journal",
                     {{"partition", name_}, {"error", why}, {"kept", file + ".damaged"}});
}

}  // namespace pawl::node
