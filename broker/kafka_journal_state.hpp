// What the journal of a partition holds, for its two files: kafka_journal_follow.cpp reads, kafka_journal.cpp leads.
// Private to them.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "broker/journal_tail.hpp"
#include "broker/kafka_journal.hpp"
#include "broker/log_fit.hpp"
#include "broker/outbox_desk.hpp"
#include "broker/recent_records.hpp"
#include "broker/view_writer.hpp"

namespace pawl::broker {

/// How long one look for a message takes.
inline constexpr std::chrono::milliseconds journal_read_wait{100};
/// Our announcement, or a record that the log says it has, comes within this, or the log cannot be read.
inline constexpr std::chrono::seconds own_record_wait{30};

struct kafka_journal::state {
  state(kafka_journal_options o, store::embedded_journal& v)
      : options(std::move(o)),
        view(v),
        name(options.topic + "/" + std::to_string(options.partition)),
        reader(options.client, options.topic, options.partition),
        tail(options.client, options.topic, options.partition),
        writer(v, {.name = name, .linger = options.view_linger, .shown = [this](std::int64_t next) { shows(next); }}) {}

  bool follow(std::chrono::milliseconds wait);
  bool read_on(std::chrono::milliseconds wait);
  void catch_up();
  void begin();
  void start_from_view(const kafka_reader::range& log);
  void restore(const kafka_reader::range& log);
  void hand_to_view();
  void show_position();
  void tell_progress();
  bool announce();
  void begin_to_lead();
  store::append_result reopen();
  store::append_result write(store::record r, const std::function<void()>& meanwhile);
  store::append_result step_down(std::string why);
  store::append_result of_view(store::append_result r) const;
  std::uint32_t format() const {
    return format_to_write(journal_format, options.all_read ? options.all_read() : journal_format);
  }
  using answer = std::shared_ptr<std::optional<kafka_producer::delivery>>;
  answer send(const std::string& bytes);
  kafka_producer::delivery await(const answer& answer);
  void shows(std::int64_t next);
  store::append_result show_or_step_down();
  store::append_result no_view(store::append_result r);
  bool read_gap(std::int64_t below);
  bool take_marks(store::outbox_changes& into);
  store::log_position position_at(std::int64_t offset, std::uint32_t crc) const;
  void read_message(const kafka_message& m);
  void look_back(std::int64_t offset);

  kafka_journal_stats stats() const {
    const std::lock_guard lock(mutex);
    auto s = counts;
    s.read_back = tail.read_back();
    if (s.leading) s.doubt = tail.doubts();
    return s;
  }
  void warn(const std::string& text) const {
    if (options.warn) options.warn(name + ": " + text);
  }

  const kafka_journal_options options;
  store::embedded_journal& view;
  const std::string name;
  kafka_reader reader;
  std::unique_ptr<kafka_producer> producer;
  broker::fence fence;
  outbox_desk outbox;
  recent_records recent;
  bool begun = false;         // the fold goes on from where the view stands
  std::int64_t log_end = 0;   // as last heard
  std::int64_t commands = -1;  // this and the next as in the newest batch
  store::log_point feed;
  std::string other;          // who else has announced itself since we led
  bool from_nothing = false;  // the view was empty when it began to catch up
  std::int64_t began_at = 0;  // where it began
  bool caught_up = false;     // it has been at the end since
  int rebuilds = 0;           // in a row
  std::chrono::steady_clock::time_point told{};

  // What following has folded and the view has not taken yet.
  std::vector<std::shared_ptr<const store::record>> pending;
  std::size_t pending_changes = 0;
  std::optional<store::log_position> pending_position;

  mutable std::mutex mutex;  // guards what follows
  engine::reign present;
  kafka_journal_stats counts;
  std::int64_t journaled_commands = -1;  // `commands` when we began to lead
  std::int64_t dealt_with = -1;  // commands below are dealt with; -1: nobody reads them
  std::map<std::int64_t, std::int64_t> consumed;  // stretches of offsets that are dealt with, above `dealt_with`
  store::log_point fed;

  journal_tail tail;  // of options; ends before them
  view_writer writer;  // what leading has appended; calls back into the above
};

}  // namespace pawl::broker
