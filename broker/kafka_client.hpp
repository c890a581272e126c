// librdkafka, as thin as it can be held: a producer, a reader of one partition, and what an error asks of us. Inside of
// broker/ only.
//
// Groups are not used: which partitions a node has is the fold of the heartbeats (docs/journal.md), and a reader is
// told where to begin by who owns it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct rd_kafka_s;
struct rd_kafka_message_s;
struct rd_kafka_topic_s;
struct rd_kafka_topic_partition_list_s;

namespace pawl::broker {

/// What may be done about an error.
enum class kafka_advice : std::uint8_t {
  again,  ///< it may go away by itself: try later
  give_up,  ///< this request will never work: a setting, a topic, a permission
  new_client  ///< this client is of no use any more (a fatal error of an idempotent producer): make another
};

/// Thrown inside of broker/; its boundaries turn it into a value. Says what happened, and names the topic or setting.
class kafka_error : public std::runtime_error {
 public:
  kafka_error(const std::string& what, int code, kafka_advice advice)
      : std::runtime_error(what),
        code_(code),
        advice_(advice) {}
  int code() const { return code_; }  ///< rd_kafka_resp_err_t
  kafka_advice advice() const { return advice_; }

 private:
  int code_;
  kafka_advice advice_;
};

/// `doing` begins the text: "reading shop.journal/0".
kafka_error make_kafka_error(const std::string& doing, int code, const std::string& detail = {});

struct kafka_options {
  std::string brokers;  ///< host:port, with commas between them
  /// Any property of librdkafka but those of `guarded_properties`; they win over what is set here.
  std::map<std::string, std::string> properties{};
  std::string client_id = "pawl";
  /// Lines of librdkafka's own log: severity as in syslog. May be called on any thread.
  std::function<void(int severity, std::string_view text)> log{};
};

/// The names that `properties` may not set, because correctness rests on them; "group.*" stands for all that begin so.
const std::vector<std::string>& guarded_properties();
struct property_mistake {
  std::string name;
  std::string what;  ///< never quotes a value
  std::string mend;
};
/// What is wrong with them: guarded names, and what librdkafka does not know or take.
std::vector<property_mistake> check_properties(const std::map<std::string, std::string>& properties);

struct kafka_message {
  std::int64_t offset = -1;
  std::int64_t timestamp_ms = -1;  ///< of the broker where the topic says LogAppendTime; -1: none
  std::string_view key{};  ///< valid until the next call of the reader, as the value
  std::string_view value{};
  bool has_key = false;
};

/// A client of librdkafka that has known its topics since before it had a broker. Of one that it comes to know just as
/// its first connection is made librdkafka 2.0 may not ask where it is until a second later: 19 of 2,400 did.
class kafka_handle {
 public:
  enum class kind : std::uint8_t { reader, producer };
  using setting = std::pair<const char*, std::string>;
  kafka_handle(kind k, const kafka_options& o, const std::vector<setting>& ours,
               const std::vector<std::string>& topics);
  ~kafka_handle();
  kafka_handle(const kafka_handle&) = delete;
  kafka_handle& operator=(const kafka_handle&) = delete;

  rd_kafka_s* get() const { return client_; }
  /// Null: not one of those that it was given.
  rd_kafka_topic_s* topic(std::string_view name) const;

 private:
  void release();

  std::unique_ptr<struct kafka_log_sink> log_;
  rd_kafka_s* client_;
  std::vector<std::pair<std::string, rd_kafka_topic_s*>> topics_;
};

/// Reads one partition from an offset on, in order. One thread at a time.
class kafka_reader {
 public:
  /// When the broker answers: as soon as there is a message, or when much has gathered, 100 ms after it was asked at
  /// the latest, which costs it and us a fraction where messages come all the time.
  enum class answers : std::uint8_t { at_once, in_bulk };

  kafka_reader(const kafka_options& o, std::string topic, std::int32_t partition, answers a = answers::at_once);
  ~kafka_reader();
  kafka_reader(const kafka_reader&) = delete;
  kafka_reader& operator=(const kafka_reader&) = delete;

  /// The next message is the one at `offset`, or the first above it. Cheap when it is the next one anyway.
  void seek(std::int64_t offset);
  /// Fetches nothing until the next seek().
  void rest();
  /// Null: none came within `wait`. Throws kafka_error; an offset that the log does not hold is `give_up`.
  const kafka_message* next(std::chrono::milliseconds wait);
  /// Of the message that next() gave last; valid as long as that. One without a value has an empty one.
  std::vector<std::pair<std::string_view, std::string_view>> headers() const;

  struct range {
    std::int64_t first = 0;  ///< the oldest that is kept
    std::int64_t end = 0;  ///< behind the newest
  };
  /// Asks the leader of the partition. Throws kafka_error if there is no answer by then.
  range offsets(std::chrono::milliseconds wait);
  /// Behind the newest message, as the newest answer to a fetch said; -1: none came yet. Asks nobody.
  std::int64_t known_end() const;
  const std::string& name() const { return name_; }  ///< "shop.journal/0"

 private:
  struct message_deleter {
    void operator()(rd_kafka_message_s* m) const;
  };
  struct list_deleter {
    void operator()(rd_kafka_topic_partition_list_s* l) const;
  };
  using partition_list = std::unique_ptr<rd_kafka_topic_partition_list_s, list_deleter>;
  /// This partition alone.
  partition_list here(std::int64_t offset) const;
  std::int64_t ask(std::int64_t which, std::chrono::milliseconds wait);
  const std::string topic_;
  const std::int32_t partition_;
  const std::string name_;
  const kafka_handle client_;
  std::unique_ptr<rd_kafka_message_s, message_deleter> held_;
  kafka_message message_;
  std::int64_t next_ = -1;
  std::chrono::steady_clock::time_point assigned_at_{};
  bool resting_ = false;
};

/// Idempotent, acks=all. One thread at a time.
class kafka_producer {
 public:
  struct options {
    std::chrono::milliseconds linger{0};
    /// A message that is not acknowledged by then is unknown; 0: it waits for ever.
    std::chrono::milliseconds give_up_after{10'000};
    std::string compression = "none";
    /// A message that fails for good takes the producer with it, fatally, so that none after it is in the log. Not by
    /// time: see `give_up_after`.
    bool gapless = false;
    /// What it is to write to. Its first message to another topic may wait for a second.
    std::vector<std::string> topics{};
  };
  kafka_producer(const kafka_options& o, const options& p);
  ~kafka_producer();
  kafka_producer(const kafka_producer&) = delete;
  kafka_producer& operator=(const kafka_producer&) = delete;

  struct delivery {
    std::int32_t partition = -1;
    std::int64_t offset = -1;
    int code = 0;  ///< 0: it is in the log at `offset`
    bool unknown = false;  ///< it may be in the log or not
    std::string message{};
  };
  using delivered = std::function<void(const delivery&)>;
  using header = std::pair<std::string_view, std::string_view>;
  using headers = std::vector<header>;

  /// `on_delivered` is called by poll(), once. Throws kafka_error when the message cannot be queued: a full queue is
  /// `again`. The bytes are copied. partition -1: by the key, as Java clients do (murmur2).
  void send(const std::string& topic, std::int32_t partition, std::optional<std::string_view> key,
            std::string_view value, delivered on_delivered, std::span<const header> h = {});
  /// Calls back what is due; waits at most `wait` for the first.
  void poll(std::chrono::milliseconds wait);
  /// Messages queued or under way.
  std::size_t waiting() const;
  /// Waits until all are delivered; false: not within `wait`.
  bool flush(std::chrono::milliseconds wait);
  /// Empty: usable.
  std::string fatal() const;
  rd_kafka_s* handle() const { return client_.get(); }

 private:
  const kafka_handle client_;
};

}  // namespace pawl::broker
