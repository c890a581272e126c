// The door of a node of a cluster: answers what is about partitions that this node leads, passes the rest on to the
// nodes that lead them, and puts together what is about all of them.
//
// What is presented as current is read behind a barrier: a record that the leader began to append since the request
// came is committed (docs/cluster.md). A request is passed on once; whoever gets it and does not lead says who does.
#pragma once

#include <functional>
#include <memory>

#include "node/access_token.hpp"
#include "node/api.hpp"
#include "node/cluster.hpp"

namespace pawl::node {

struct cluster_door_options {
  const registry& types;
  actors::node_system& system;
  const cluster& places;
  api_options api{};       ///< of each partition
  access_token token{};    ///< shown to the other nodes
  std::size_t forwards = 16'384;  ///< requests under way to other nodes; beyond it: busy
  std::size_t followed_elsewhere = 64;  ///< histories that are followed on other nodes; each takes a thread
};

/// Thread-safe.
class cluster_door {
 public:
  explicit cluster_door(cluster_door_options o);
  /// Stops.
  ~cluster_door();
  cluster_door(const cluster_door&) = delete;
  cluster_door& operator=(const cluster_door&) = delete;

  /// Takes what is about workflows, partitions and nodes, and answers it once; false: what is about this node alone is
  /// left to the caller, and neither argument is touched.
  bool take(api_request& request, std::function<void(api_response)>& respond);
  /// How many workflows there are: in all partitions, or in those that this node leads. Reads views; calls back once,
  /// on any thread.
  void count(bool whole, std::function<void(const cluster_counts&)> then) const;
  /// Who waits is answered with `unavailable`, and later ones too.
  void stop();

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace pawl::node
