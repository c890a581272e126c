// Lists for people: workflows, types, the state of the node.
#pragma once

#include "node/json_codec.hpp"
#include "node/render_text.hpp"

#include <cstdint>
#include <string>

namespace pawl::node {

std::string draw_workflows(const canvas& c, const json& answer, std::int64_t now_micros, bool wide);
std::string draw_types(const canvas& c, const json& answer);
/// One type with its steps, of each of its versions.
std::string draw_type(const canvas& c, const json& type, bool wide);
std::string draw_status(const canvas& c, const json& answer, bool wide);

}  // namespace pawl::node
