// The digest of a graph. Runs on disk carry it, so what is said here may never change; a golden value in tests/api
// keeps it.
//
// It is FNV-1a (64 bits; offset basis cbf29ce484222325, prime 100000001b3) over this text:
//
//   graph   "pawl-graph-1\n" text(input type) count(steps) step* returns
//   step    text(name) text(result type) sources(arguments) count(after) number(after)* undo
//   undo    "-" when there is none, else "u" sources(undo arguments)
//   sources count source*
//   source  "i" for the input, else "s" number(index of the step)
//   returns "-" when there is none, else source
//   text    the number of bytes in decimal, ":", the bytes;    count, number: decimal, ","
//
// Of code, nothing but its types is seen:
//
//   code    "pawl-code-1\n" text(input type) text(result type)
//
// A void result is "nil". The names of the types are type_descriptor::name. Options are not in it: they may change
// while runs are under way. Neither are the fields of the types: a new field with a default is no new graph.
#include <pawl/registry.hpp>

namespace pawl::detail {
namespace {

class fnv1a {
 public:
  void raw(std::string_view bytes) {
    for (const char c : bytes) value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  }
  void number(std::size_t n) { raw(std::to_string(n) + ","); }
  void text(std::string_view bytes) {
    raw(std::to_string(bytes.size()) + ":");
    raw(bytes);
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325U;
};

void add(fnv1a& hash, const source& from) {
  hash.raw(from.is_input() ? "i" : "s");
  if (!from.is_input()) hash.number(from.step);
}

void add(fnv1a& hash, const std::vector<source>& all) {
  hash.number(all.size());
  for (const auto& from : all) add(hash, from);
}

void add(fnv1a& hash, const step_definition& step) {
  hash.text(step.name);
  hash.text(step.result ? step.result->name : "nil");
  add(hash, step.arguments);
  hash.number(step.after.size());
  for (const auto before : step.after) hash.number(before);
  hash.raw(step.undo ? "u" : "-");
  if (step.undo) add(hash, step.undo_arguments);
}

}  // namespace

std::uint64_t digest_of(const graph_definition& graph) {
  fnv1a hash;
  hash.raw("pawl-graph-1\n");
  hash.text(graph.input ? graph.input->name : "nil");
  hash.number(graph.steps.size());
  for (const auto& step : graph.steps) add(hash, step);
  if (graph.returns) {
    add(hash, *graph.returns);
  } else {
    hash.raw("-");
  }
  return hash.value();
}

std::uint64_t digest_of(const code_definition& code) {
  fnv1a hash;
  hash.raw("pawl-code-1\n");
  hash.text(code.input ? code.input->name : "nil");
  hash.text(code.result ? code.result->name : "nil");
  return hash.value();
}

}  // namespace pawl::detail
