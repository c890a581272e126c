// The payment service's memory on disk: a file of lines, only ever appended to.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace payment {

/// The file cannot be opened, read, written or synced. After a failed append or sync nobody knows what is on disk, so
/// the process must end without answering; the next start reads what there is.
struct journal_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class effect_journal {
 public:
  /// Opens or creates `path`, locks it against a second process, gives every whole line in it to `replay` and cuts off
  /// a torn last one, which nobody was ever answered for. An empty path: nothing is kept.
  effect_journal(std::string path, const std::function<void(std::string_view line)>& replay);
  ~effect_journal();
  effect_journal(const effect_journal&) = delete;
  effect_journal& operator=(const effect_journal&) = delete;

  /// Appends `line` (without its newline). A line that is not synced survives a kill of the process, but not of the
  /// machine; a synced one survives both, and so does every line before it. Blocks for the sync.
  void append(std::string line, bool sync);

 private:
  [[noreturn]] void fail(std::string_view what) const;
  void load(const std::function<void(std::string_view)>& replay);

  std::string path_;
  int fd_ = -1;
};

}  // namespace payment
