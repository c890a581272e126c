// What the intake holds, for its two files: command_intake.cpp reads, command_turns.cpp deals with what was read.
// Private to them.
#pragma once

#include <atomic>
#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/command_intake.hpp"
#include "broker/outbox_desk.hpp"
#include "broker/verdict_box.hpp"

namespace pawl::broker {

using steady = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// A flood of garbage is one line a second in the log, not one a message.
inline constexpr milliseconds between_warnings{1'000};

/// The offsets of one key whose turn has not passed; the first is the one under way.
struct key_line {
  std::string key;
  std::list<std::int64_t> offsets{};  // mostly one: a deque would take its 500 bytes for it
  std::size_t in_memory = 0;
};

/// One command that is read and not dealt with.
struct under_way {
  enum class stage : std::uint8_t {
    queued,  ///< behind an earlier one of its key
    parked,  ///< ... so many of them that it is to be read again
    handed_in,
    pausing,  ///< is to be handed in again
    dying,  ///< is to be sent to the dead letters
    sent,  ///< ... and is
    gone,  ///< nothing more has to be said about it
  };
  std::shared_ptr<const incoming_command> message{};  ///< null: parked
  std::shared_ptr<key_line> line{};  ///< null: it waits for nobody
  std::int32_t to = -1;  ///< another partition that it is forwarded to
  std::size_t bytes = 0;
  stage at = stage::queued;
  milliseconds delay{0};
  steady::time_point due{};
  command_verdict verdict{};
  std::size_t cut_at = largest_dead_letter;
};

struct command_intake::state {
  state(command_intake_options o, kafka_journal& j, command_handler h)
      : options(std::move(o)),
        name(options.topic + "/" + std::to_string(options.partition)),
        journal(j),
        handler(std::move(h)) {}

  using table = std::map<std::int64_t, under_way>;

  void run();
  void step();
  void begin_anew();
  void read_on();
  void take(const kafka_message& m);
  std::shared_ptr<incoming_command> copy_of(const kafka_message& m, const kafka_reader& from) const;
  bool route(const incoming_command& m, under_way& c);
  void stand_in_line(std::int64_t offset, under_way& c);
  bool fetch_parked(key_line& line);
  bool forward(std::int64_t offset, under_way& c);
  void sweep();
  void pass_hole(std::int64_t end);
  void take_verdicts();
  void judge(under_way& c, command_verdict v);
  void hand_in(std::int64_t offset, under_way& c);
  void do_what_is_due();
  void pass_turn(const under_way& c);
  void send_to_dead_letters(std::int64_t offset, under_way& c);
  void dead_letter_delivered(std::int64_t offset, const kafka_producer::delivery& d);
  void finish(table::iterator c);
  void pause(under_way& c, under_way::stage at);
  void wait();
  void look_for_the_end();
  void show();
  void last_words();
  void warn_seldom(const std::string& text);
  void tell_diverged(const incoming_command& m);
  bool full() const {
    return commands.size() - parked >= most_commands_under_way || bytes >= most_bytes_under_way ||
           parked >= most_parked_commands || steady::now() < leader_full_until;
  }
  bool leads() const { return journal.stats().leading && !journal.commands_unread(); }
  void warn(const std::string& text) const {
    if (options.warn) options.warn(name + ": " + text);
  }

  const command_intake_options options;
  const std::string name;
  kafka_journal& journal;
  const command_handler handler;
  const std::shared_ptr<verdict_box> verdicts = std::make_shared<verdict_box>();

  // The thread's own.
  std::unique_ptr<kafka_reader> reader;
  std::unique_ptr<kafka_producer> producer;
  std::int64_t next = -1;  // offset that is expected next; -1: ask the journal
  std::uint64_t reading = 0;  // verdicts of an earlier one say nothing
  table commands;  // by offset
  std::unordered_map<std::string, std::shared_ptr<key_line>> lines;  // by key
  std::vector<std::int64_t> gone;  // to be taken out of the table
  std::size_t bytes = 0;
  std::size_t parked = 0;
  std::size_t handed_in = 0;  // whose verdict is to come
  std::unique_ptr<kafka_reader> again_reader;  // of what was parked
  broker::inbox inbox;
  steady::time_point leader_full_until{};
  milliseconds trouble_delay{0};
  steady::time_point told = steady::now() - between_warnings;
  std::uint64_t untold = 0;
  std::map<std::int32_t, steady::time_point> diverged_told;  // by the partition that sends

  std::atomic<std::uint64_t> marks{0};
  std::atomic<milliseconds> patience{milliseconds(0)};
  command_intake_stats counts;  // the thread's own, too
  mutable std::mutex mutex;
  command_intake_stats shown;  // under the mutex
  std::thread thread;
};

}  // namespace pawl::broker
