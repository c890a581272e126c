// Sends what a leader's outbox holds to the other partitions, in order, on a thread of its own.
//
// Like the feed it sends with a producer that never lets a message overtake one that failed; after any failure a new
// one begins again where all is acknowledged. What the brokers refuse for good goes as a stub.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "broker/kafka_client.hpp"
#include "broker/outbox_desk.hpp"

namespace pawl::broker {

struct outbox_sender_options {
  kafka_options client;
  std::string topic;  ///< "shop.commands"
  std::int32_t partition = 0;  ///< whose outbox it is
  std::string directory;  ///< of its view
  std::function<void(const std::string& event)> warn{};  ///< what a person should know; the sender's thread
};

class outbox_sender {
 public:
  /// `desk` must outlive it.
  outbox_sender(outbox_sender_options o, outbox_desk& desk);
  ~outbox_sender();
  outbox_sender(const outbox_sender&) = delete;
  outbox_sender& operator=(const outbox_sender&) = delete;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace pawl::broker
