// Reads the journal back while this node leads, on a thread of its own: what Kafka acknowledged must be in the log, and
// somebody else's announcement must be heard of even when nothing is appended.
//
// Kafka acknowledges from the page cache: a power cut or an unclean election can take records back. Then nobody may act
// on them, and the leader, which has, must stop and fold the log again.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "broker/kafka_client.hpp"

namespace pawl::broker {

/// A record of ours that was acknowledged.
struct own_record {
  std::int64_t offset = 0;
  std::uint32_t crc = 0;
};

/// Thread-safe but for start() and stop(), which are for one thread.
class journal_tail {
 public:
  /// How much may be acknowledged and not yet read back before that is a reason to doubt.
  static constexpr std::size_t longest = 10'000;

  journal_tail(kafka_options client, std::string topic, std::int32_t partition)
      : client_(std::move(client)),
        topic_(std::move(topic)),
        partition_(partition) {}
  ~journal_tail() { stop(); }
  journal_tail(const journal_tail&) = delete;
  journal_tail& operator=(const journal_tail&) = delete;

  /// We lead under that epoch, and our next record comes at `from` or above.
  void start(std::int64_t from, std::uint64_t epoch);
  void stop();
  void expect(own_record own);
  /// Why we should not go on leading; empty: no reason.
  std::string doubts() const;
  /// Everything below has been seen.
  std::int64_t read_back() const;

 private:
  void run(const std::stop_token& stop, std::int64_t from);
  bool check(const kafka_message& m);
  bool is_back(const own_record& own, const own_record& found);
  void doubt(std::string why);

  const kafka_options client_;
  const std::string topic_;
  const std::int32_t partition_;
  mutable std::mutex mutex_;  // guards what follows
  std::uint64_t epoch_ = 0;
  std::int64_t read_back_ = 0;
  std::string doubt_;
  std::deque<own_record> expected_;
  std::deque<own_record> read_ahead_;  // read back before it was acknowledged; the newest few
  std::jthread thread_;
};

}  // namespace pawl::broker
