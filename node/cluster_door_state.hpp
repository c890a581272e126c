// What the door of a cluster holds, for its files: cluster_door.cpp takes requests and passes them on,
// cluster_start.cpp begins workflows, cluster_list.cpp puts lists together, cluster_types.cpp knows what is marked.
// Private to them.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node/api_readers.hpp"
#include "node/cluster_door.hpp"
#include "node/cluster_report.hpp"
#include "node/http_forwarder.hpp"
#include "node/json_codec.hpp"
#include "node/problem.hpp"

namespace pawl::node {

using respond_function = std::function<void(api_response)>;
using std::chrono::milliseconds;

// Headers between nodes.
inline constexpr const char* forwarded_header = "pawl-forwarded";
inline constexpr const char* partition_header = "pawl-partition";
/// Of a start that is passed on to a node that has its type.
inline constexpr const char* check_header = "pawl-check";
inline constexpr const char* stale_header = "Pawl-Stale-Ms";
/// Threads that read large bodies and views for reports, and what may wait for them.
inline constexpr std::size_t door_readers = 2;
inline constexpr std::size_t most_door_reads = 1'024;

problem unavailable(std::string detail, std::string mend = "ask again in a moment");
/// The value of a parameter, still encoded; and the query without it.
std::optional<std::string> take_parameter(std::string& query, std::string_view name);
std::string parameter(std::string query, std::string_view name);

/// One page of a list, from one partition.
struct list_page {
  std::int32_t partition = 0;
  int status = 0;
  json rows = json::array();
  std::vector<std::int64_t> keys{};
  bool more = false;
  std::optional<std::int64_t> stale_ms{};  ///< it is of this node's view, which is so old
  std::string refusal{};  ///< the answer to a mistake of the caller, which every partition tells alike
};

/// The type in "/v1/types/{type}/use"; none: another path.
std::optional<std::string> type_to_use(std::string_view path);

struct cluster_door::state : std::enable_shared_from_this<cluster_door::state> {
  explicit state(cluster_door_options o)
      : options(std::move(o)),
        forwarder(options.forwards),
        follows(options.followed_elsewhere, options.followed_elsewhere),
        readers(door_readers, most_door_reads),
        report(options.types, options.places, forwarder, options.token) {
    apis.resize(static_cast<std::size_t>(options.places.partitions()));
  }

  struct partition_api {
    std::shared_ptr<api> of{};
    std::uint64_t life = 0;  // of the view that it reads
  };
  std::shared_ptr<api> api_of(std::int32_t partition);
  void for_workflow(const std::string& id, api_request request, respond_function respond);
  /// `of_what`: " of workflow 'o-17'", for people.
  void for_partition(std::int32_t partition, const std::string& of_what, api_request request, respond_function respond);
  void types_document(api_request request, respond_function respond);
  void tell_types(const engine::type_marks& marks, const respond_function& respond) const;
  void use_version(const std::string& type, api_request request, respond_function respond);
  void await_others(const std::string& type, std::int32_t home, json answer, const respond_function& respond);
  bool tell_heard(const api_request& request, const respond_function& respond);
  void start(api_request request, respond_function respond);
  std::uint32_t has_type(const std::string& id, const std::string& type, std::uint32_t version) const;
  void check_start(json body, const partition_place& place, api_request request, const respond_function& respond);
  void start_checked(api_request request, respond_function respond);
  void start_checked_anywhere(api_request request, respond_function respond);
  void post(const respond_function& respond, std::function<void()> task);
  void partitions_document(const api_request& request, respond_function respond);
  void list(api_request request, respond_function respond);
  void list_part(std::int32_t partition, const api_request& request, const std::function<void(list_page)>& then);
  void here(std::int32_t partition, api_request request, respond_function respond);
  void stale(std::int32_t partition, api_request request, respond_function respond);
  void forward(const partition_place& place, api_request request, respond_function respond);
  void forward_stream(const partition_place& place, const api_request& request, const respond_function& respond);
  bool ask(const partition_place& place, const api_request& request, std::function<void(api_response)> answer);
  bool is_led_by(const partition_place& place) const;
  void pass_on(const partition_place& place, const api_request& request, const line_sink& sink);
  api_response nodes_document() const;

  const cluster_door_options options;
  std::mutex mutex;
  std::vector<partition_api> apis;  // by partition, made when first asked; under the mutex
  http_forwarder forwarder;
  api_readers follows;
  api_readers readers;
  const cluster_report report;
  std::atomic<bool> stopping{false};
};

}  // namespace pawl::node
