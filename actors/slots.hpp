// The ledger of slots: how many attempts may be under way at once on this node, in all, in child processes, and of one
// step (`max_concurrent`). An attempt is recorded only with a slot in hand; it holds it until its function has returned
// or its thread is written off. Those who find none wait here in the order of their asking.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace pawl::actors {

class slot_ledger;

/// Names a step for the limit on how many of its attempts run at once: the definition and 2 * step + undo.
struct step_key {
  const void* definition = nullptr;
  std::uint32_t step = 0;
  auto operator<=>(const step_key&) const = default;
  bool operator==(const step_key&) const = default;
};

struct slot_ask {
  bool in_child = false;
  std::uint32_t max_concurrent = 0;  ///< 0: no limit of its own
  step_key step{};  ///< set with a limit only
  auto operator<=>(const slot_ask&) const = default;
  bool operator==(const slot_ask&) const = default;
};

/// One slot, given back when this is destroyed. Movable; an empty one holds nothing.
class slot {
 public:
  slot() = default;
  slot(slot&& other) noexcept : ledger_(std::exchange(other.ledger_, nullptr)), ask_(other.ask_) {}
  slot& operator=(slot&& other) noexcept {
    std::swap(ledger_, other.ledger_);
    std::swap(ask_, other.ask_);
    return *this;
  }
  ~slot() { release(); }
  void release() noexcept;
  explicit operator bool() const { return ledger_ != nullptr; }
  /// Whether it can stand in for a slot asked for like this.
  bool serves(const slot_ask& ask) const { return ledger_ && ask_ == ask; }

 private:
  friend class slot_ledger;
  slot(slot_ledger* ledger, slot_ask ask) : ledger_(ledger), ask_(ask) {}
  slot_ledger* ledger_ = nullptr;
  slot_ask ask_{};
};

struct slot_stats {
  std::size_t capacity = 0;
  std::size_t taken = 0;
  std::size_t children = 0;
  std::size_t waiting = 0;
};

/// Thread-safe. Must outlive every slot.
class slot_ledger {
 public:
  slot_ledger(std::size_t capacity, std::size_t children) : capacity_(capacity), child_capacity_(children) {}

  /// An empty slot when none is free.
  slot try_take(const slot_ask& ask);

  /// Hands a slot to `grant` once one for `ask` is free (at once if it is), on any thread. A slot that is dropped there
  /// (its asker is gone) goes to the next in line. Returns the place in the line, 0 when there was nothing to wait for.
  using grant_function = std::function<void(slot)>;
  using ticket = std::uint64_t;
  ticket wait(const slot_ask& ask, grant_function grant);
  /// Whoever goes before his turn leaves the line; it is not an error if that has come meanwhile.
  void cancel(const slot_ask& ask, ticket t);
  /// Drops everybody who waits.
  void forget_waiting();

  /// From now on no slot is granted (a drain); those held stay.
  void close();
  slot_stats stats() const;

 private:
  friend class slot;
  bool fits(const slot_ask& ask) const;
  slot take(const slot_ask& ask);
  void give_back(const slot_ask& ask) noexcept;
  bool next_in_line(slot& granted, grant_function& grant);

  mutable std::mutex mutex_;
  const std::size_t capacity_;
  const std::size_t child_capacity_;
  std::size_t taken_ = 0;
  std::size_t children_ = 0;
  std::map<step_key, std::uint32_t> of_step_;
  // One line for each kind of slot, of which there are few; tickets say who came first over all of them.
  std::map<slot_ask, std::map<ticket, grant_function>> waiting_;
  ticket last_ticket_ = 0;
  bool granting_ = false;  // somebody is serving the line
  bool closed_ = false;
};

}  // namespace pawl::actors
