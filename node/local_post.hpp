// Delivers what the workflows of a node without a broker send each other: from the journal's outbox to the engine,
// until it is on record what came of it. What was not acknowledged when the node ended comes again; the commands' ids
// tell that.
//
//     outbox --next--> [one command of a workflow at a time] --submit--> engine --recorded--> acknowledged --> next
//     batch
//
// The answers to calls are handed in as they come: the number of the call tells what each is for.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "actors/node_system.hpp"
#include "broker/command_intake.hpp"
#include "broker/outbox_desk.hpp"

namespace pawl::node {

struct local_post_options {
  std::string directory;  ///< of the store
  broker::command_handler handler;
  /// A batch is wanted, to keep what is acknowledged.
  std::function<void()> want_batch;
  std::function<void(const std::string&)> warn;  ///< what a person should know
};

class local_post {
 public:
  /// `desk` must outlive it.
  local_post(local_post_options o, broker::outbox_desk& desk);
  /// Nothing is handed in after it; what is under way may still be answered.
  ~local_post();
  local_post(const local_post&) = delete;
  local_post& operator=(const local_post&) = delete;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

/// How a message to another workflow is kept, where there are so many partitions.
actors::message_packer make_message_packer(std::int32_t partitions);
/// How a mark that `partition` has decided is kept for all others.
actors::mark_packer make_mark_packer(std::int32_t partition, std::int32_t partitions);

}  // namespace pawl::node
