#include "testing/checked/outside.hpp"

#include <array>
#include <string_view>

#include <boost/stacktrace.hpp>

namespace pawl::checked {

namespace {

constexpr std::size_t most_frames = 64;

struct call {
  const kind& what;
  const char* function;
};

/// Allocators look at the clock when they give memory back, and at the environment when they begin.
bool is_allocator(const void* caller) {
  Dl_info module{};
  if (dladdr(caller, &module) == 0 || !module.dli_fname) return false;
  const std::string_view file = module.dli_fname;
  for (const std::string_view name : {"jemalloc", "tcmalloc", "mimalloc"})
    if (file.find(name) != std::string_view::npos) return true;
  return false;
}

/// Sources of the system are named from its root, or from where it was built; ours from the root of the tree.
bool is_users(std::string_view file) {
  if (file.empty() || file.starts_with("/usr/") || file.starts_with("../") || file.starts_with("./")) return false;
  for (const std::string_view ours :
       {PAWL_ROOT "/include/pawl/", PAWL_ROOT "/workflow/", PAWL_ROOT "/testing/checked/"})
    if (file.starts_with(ours)) return false;
  return true;
}

/// A coroutine is made of several functions, which people know by one name.
std::string name_of(const boost::stacktrace::frame& frame) {
  auto name = frame.name();
  if (const auto part = name.find(" [clone "); part != std::string::npos) name.resize(part);
  return name;
}

/// The innermost function that is the user's; where none has a line on record, the innermost that has a name.
std::string place() {
  std::string named;
  for (const auto& frame : boost::stacktrace::stacktrace(2, most_frames)) {
    const auto file = frame.source_file();
    if (is_users(file)) return "in " + name_of(frame) + " at " + file + ":" + std::to_string(frame.source_line());
    if (named.empty() && file.empty()) named = name_of(frame);
  }
  return named.empty() ? named : "in " + named;
}

engine::misdeed describe(const void* about) {
  const auto& c = *static_cast<const call*>(about);
  return {.what = std::string(c.what.does) + " (" + c.function + ")", .where = place(), .instead = c.what.instead};
}

}  // namespace

void tell(const kind& what, const char* function, const void* caller) noexcept {
  if (is_allocator(caller)) return;
  const call about{what, function};
  engine::watched::tell(&describe, &about);
}

}  // namespace pawl::checked
