// What a node answers to the outside, whatever carries the question: HTTP on the node's socket, or the command line in
// its own process when no node is running. docs/http.md says it for callers, docs/openapi.json for programs.
//
// Nothing here blocks on a workflow, and no request that waits holds a thread: what waits is a callback and a timer.
// Queries of the view run on a few threads of the api, so neither the io thread nor an actor ever waits for the disk.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <pawl/registry.hpp>

#include "actors/node_system.hpp"
#include "config/listing.hpp"
#include "store/view.hpp"
#include "workflow/limits.hpp"

namespace pawl::node {

struct api_request {
  std::string method = "GET";
  std::string path;   ///< "/v1/...": segments still percent-encoded
  std::string query;  ///< behind the "?", still encoded
  std::map<std::string, std::string> headers{};  ///< names in lower case
  std::string body{};
};

enum class line_answer : std::uint8_t {
  more,
  full,  ///< the line was taken; send no other for a moment
  gone,  ///< nobody reads any more: nothing else is sent
};
/// Takes one line of a stream, without the line's end; an empty line sends nothing and asks whether anybody still
/// reads. Any thread, one call at a time; must not block.
using line_sink = std::function<line_answer(std::string_view line)>;

struct api_response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
  std::map<std::string, std::string> headers{};
  /// Only of a history that is followed; `body` is empty then. Call it once to begin: lines of JSON go to the sink
  /// until the run is closed or the api stops; then `end` is called, once.
  std::function<void(line_sink, std::function<void()> end)> stream{};
};

/// How many workflows a cluster has, as its leaders say.
struct cluster_counts {
  store::view_counts all{};
  store::view_counts own{};  ///< of the partitions that this node leads
  std::size_t partitions = 0;
  std::size_t led = 0;  ///< ... so many of them
  std::vector<std::int32_t> missing{};  ///< partitions that are not counted: nobody leads them, or gave no answer
  std::string trouble{};  ///< what this node as a whole suffers from
};

struct api_options {
  std::string version;   ///< of this binary
  std::string data_dir;  ///< for people
  std::vector<config::listed_setting> configuration{};
  engine::limits limits{};
  std::chrono::milliseconds outcome_age{std::chrono::hours(24)};  ///< how long refusals are remembered
  std::size_t readers = 2;           ///< threads that query the view; 0: the caller's own
  std::size_t queued_reads = 16'384;  ///< as many as connections; beyond it: busy
  std::size_t waiting = 100'000;     ///< requests that wait for a result
  std::size_t followers = 1'000;     ///< histories being followed
  /// Asked first, where there is one: true, it has taken the request and answers it.
  std::function<bool(api_request&, std::function<void(api_response)>&)> front{};
  /// Of a node of a cluster: what there is in all partitions, or (false) in those that it leads. Called on a reader's
  /// thread; calls back once, on any.
  std::function<void(bool whole, std::function<void(const cluster_counts&)>)> count_cluster{};
  /// Of a partition of a cluster: takes a start that is checked (docs/commands.md), of a workflow of any partition.
  /// Empty: all are here.
  std::function<void(api_request, std::function<void(api_response)>)> begin_elsewhere{};
  /// Of a partition of a cluster: whether this node leads it. Empty: it always does.
  std::function<bool()> leads{};
  /// ... waits until its views show what this node has recorded; throws store::view_error. Empty: they always do.
  std::function<void()> views_ready{};
  /// ... asks the journal, and calls back once, on any thread: what is read now is current. Empty: it always is.
  std::function<void(std::function<void(bool)>)> prove{};
};

/// Longest wait_ms of one request; who wants to wait longer asks again.
inline constexpr std::chrono::milliseconds longest_wait{600'000};

/// Thread-safe.
class api {
 public:
  /// `system` is null where no node runs: what asks something of a workflow is answered with `no_node`, and a followed
  /// history ends with what is on record. `types` and `system` must outlive the api. `open_view` may throw
  /// store::view_error.
  api(const registry& types, actors::node_system* system, actors::view_pool::factory open_view, api_options options);
  /// Stops.
  ~api();
  api(const api&) = delete;
  api& operator=(const api&) = delete;

  /// Calls `respond` exactly once: on this thread, on one of the api's or on one of the node's, which it must not
  /// block. Never throws.
  void handle(api_request request, std::function<void(api_response)> respond);

  /// Requests and streams that wait are answered with `unavailable` and ended; later ones too. Call it before the
  /// node_system is drained or destroyed. Answers to commands already given to the node still come.
  void stop();

  struct state;  ///< for the api's own files

 private:
  std::shared_ptr<state> state_;
};

/// Every route, as docs/openapi.json must have it.
struct route_description {
  std::string_view method;
  std::string_view path;  ///< "/v1/workflows/{id}"
  std::string_view queries;  ///< names of its parameters, with blanks between them
};
std::vector<route_description> api_routes();

}  // namespace pawl::node
