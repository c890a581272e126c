// The public feed of a partition: every event of the journal as a message of `<ns>.events`; docs/events.md says what a
// consumer may rely on.
//
//     journal, from fed() on --fold--> accepted, below the end of the leader --> events, in the order of offsets
//                                                  every one acknowledged up to a record --> fed(), with the next batch
//
// What this leader has committed itself comes from memory (recent_records.hpp); the log is read for the rest: after a
// start, an error, or where the feed is far behind.
//
// What an error leaves open is published again from fed() on, in order, so that a stretch may repeat and nothing is
// ever missing, nor behind what comes after it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "broker/kafka_client.hpp"
#include "broker/kafka_journal.hpp"

namespace pawl::broker {

struct feed_event {
  const store::run_header& run;
  const std::string& run_uid;  ///< as text
  const engine::event& event;
  bool without_payload = false;  ///< with it, it does not fit into a message
};

struct feed_message {
  std::string value;
  std::string time;  ///< of the event, RFC 3339
};

struct feed_options {
  kafka_options client;
  std::string name_space;  ///< "shop"
  std::int32_t partition = 0;
  /// The feed's thread calls these; what they throw is an error like any other.
  std::function<feed_message(const feed_event&)> render;
  /// A run whose beginning was published long ago.
  std::function<std::optional<store::run_header>(engine::run_key)> find_run;
  std::function<void(const std::string& event)> warn{};  ///< what a person should know
};

struct feed_stats {
  std::uint64_t published = 0;  ///< acknowledged messages, repeats included
  std::uint64_t from_memory = 0;  ///< records that were not read from the log
  std::uint64_t skipped = 0;  ///< records that no reader counts
  std::uint64_t garbage = 0;  ///< messages of the journal that are no records
  std::uint64_t begun = 0;  ///< how often it began to publish from fed() on: once, and after each error
  std::int64_t next = 0;  ///< offset of the journal that it reads next
  std::string stopped;  ///< not empty: it publishes nothing more, and why
};

/// Publishes on a thread of its own from the moment it is made. Thread-safe but for stop() and the destructor.
class feed_publisher {
 public:
  /// `journal` has to outlive it.
  feed_publisher(feed_options o, kafka_journal& journal);
  /// As stop(0).
  ~feed_publisher();
  feed_publisher(const feed_publisher&) = delete;
  feed_publisher& operator=(const feed_publisher&) = delete;

  /// Publishes what is in the journal by now, and ends. False: not within that time. To be called once, when nothing is
  /// appended any more and before the journal is released, which then records how far it has come.
  bool stop(std::chrono::milliseconds within);
  feed_stats stats() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace pawl::broker
