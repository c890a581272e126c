// What the engine knows as the JSON of docs/http.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <pawl/registry.hpp>

#include "actors/node_system.hpp"
#include "node/json_codec.hpp"
#include "store/view.hpp"
#include "workflow/event.hpp"

namespace pawl::node {

class json_text_writer;

/// RFC 3339 in UTC with microseconds. Times after the year 9999 are shown as its end.
std::string time_to_text(engine::time_point t);
/// RFC 3339 with any offset; nullopt: not of that form.
std::optional<engine::time_point> time_from_text(std::string_view text);

json present_failure(const engine::failure& f);

/// An event. `definition` may be null; a graph gives names to the steps of an order of compensation.
json present_event(const engine::event& e, const pawl::detail::workflow_definition* definition);
/// The same members, in an object that is open. `at`: time_to_text(e.at).
void write_event(const engine::event& e, const std::string& at, const pawl::detail::workflow_definition* definition,
                 bool with_payload, json_text_writer& out);

/// A line of the list of workflows.
json present_row(const store::run_row& row);
/// Everything about one run, folded from its history.
json present_run(const store::run_row& row, const store::stored_history& history, const registry& types);

/// The head of a result.
json present_result(const store::run_row& row);
/// Adds `result` or `error` of a closed run.
void add_end(json& body, engine::phase phase, const std::string& payload, const std::optional<engine::failure>& error);

/// The answer to a start; `result` may be null.
json present_started(const std::string& workflow_id, const engine::start_facts& facts, const actors::command_reply& r,
                     const std::string& command_id, const actors::run_result* result);
/// The answer to any other command.
json present_outcome(const std::string& workflow_id, const actors::command_reply& r, const std::string& command_id);

/// What this binary has and other nodes run, and which version new runs get. `nodes`: the living ones of a cluster.
json present_types(const registry& types, const engine::type_marks& marks = {}, const actors::fleet::nodes& nodes = {});
/// The answer to a mark; `version` 0: none is marked any more.
json present_use(const std::string& type, std::uint32_t version, const actors::command_reply& r,
                 const std::string& command_id, std::chrono::milliseconds remembered_for,
                 const actors::fleet::nodes& nodes);
json present_status(const actors::node_status& s);
json present_counts(const store::view_counts& c);

}  // namespace pawl::node
