// What all partitions of a cluster are doing, put together from what each leader says of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include <pawl/registry.hpp>

#include "node/access_token.hpp"
#include "node/api.hpp"
#include "node/cluster.hpp"
#include "node/http_forwarder.hpp"
#include "node/json_codec.hpp"
#include "store/view.hpp"

namespace pawl::node {

/// What another node gets to say what its partitions are doing; who takes longer is left out, by name.
inline constexpr std::chrono::milliseconds report_patience{1'500};

/// Thread-safe. What it is given must outlive it.
class cluster_report {
 public:
  cluster_report(const registry& types, const cluster& places, http_forwarder& forwarder, access_token token)
      : types_(types),
        places_(places),
        forwarder_(forwarder),
        token_(std::move(token)) {}

  /// The rows of docs/http.md, as this node knows them; of the partitions that it leads, all of it. Reads views.
  json own_rows() const;
  /// The same with what the leaders say; `then` is called once, on any thread. A leader that does not answer leaves
  /// "answered": false in its rows. Reads views.
  void all_rows(std::function<void(json rows)> then) const;
  /// How many workflows there are, from such rows.
  static cluster_counts count(const json& rows);

 private:
  json row(const partition_report_row& r) const;
  void add_own(json& row, std::int32_t partition) const;

  const registry& types_;
  const cluster& places_;
  http_forwarder& forwarder_;
  const access_token token_;
};

}  // namespace pawl::node
