// What a leader picks the version of a new run by: the marks of its partition, and what the living nodes run.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "workflow/decide.hpp"
#include "workflow/version_choice.hpp"

namespace pawl::actors {

/// Who waits for a mark to be on record hears it once: that it is, or, where it is given up, that it is not.
class mark_waiter {
 public:
  mark_waiter(std::string type, std::uint64_t revision, std::function<void(bool)> done)
      : type_(std::move(type)),
        revision_(revision),
        done_(std::move(done)) {}
  mark_waiter(const mark_waiter&) = delete;
  mark_waiter& operator=(const mark_waiter&) = delete;
  ~mark_waiter() { say(false); }
  void say(bool there) {
    if (!said_.exchange(true)) done_(there);
  }
  bool is_over() const { return said_; }
  bool is_met_by(const engine::type_mark& m) const { return m.type == type_ && m.revision >= revision_; }
  const std::string& type() const { return type_; }

 private:
  const std::string type_;
  const std::uint64_t revision_;
  const std::function<void(bool)> done_;
  std::atomic<bool> said_{false};
};

/// The marks of a partition that are on record. Thread-safe.
class mark_table {
 public:
  /// Of each type the newer counts, so nothing that is on record is forgotten by it.
  void put(const engine::type_mark& m) {
    std::vector<std::shared_ptr<mark_waiter>> met;
    {
      const std::lock_guard lock(mutex_);
      engine::fold(marks_, m);
      std::erase_if(waiters_, [&](const auto& w) {
        if (w->is_met_by(m)) met.push_back(w);
        return w->is_over() || w->is_met_by(m);
      });
    }
    for (const auto& w : met) w->say(true);
  }
  void await(const std::shared_ptr<mark_waiter>& w) {
    bool there = false;
    {
      const std::lock_guard lock(mutex_);
      const auto it = marks_.find(w->type());
      there = it != marks_.end() && w->is_met_by(it->second);
      if (!there) std::erase_if(waiters_, [](const auto& other) { return other->is_over(); });
      if (!there && waiters_.size() < most_waiters) return waiters_.push_back(w);
    }
    w->say(there);
  }
  void put(const engine::type_marks& all) {
    for (const auto& [type, m] : all) put(m);
  }
  std::optional<engine::type_mark> find(std::string_view type) const {
    const std::lock_guard lock(mutex_);
    const auto it = marks_.find(type);
    return it == marks_.end() ? std::nullopt : std::optional(it->second);
  }
  /// 0: none is marked.
  std::uint32_t version(std::string_view type) const {
    const std::lock_guard lock(mutex_);
    const auto it = marks_.find(type);
    return it == marks_.end() ? 0 : it->second.version;
  }
  engine::type_marks all() const {
    const std::lock_guard lock(mutex_);
    return marks_;
  }

 private:
  /// Beyond it nobody waits: who asks is told that it is not there yet.
  static constexpr std::size_t most_waiters = 1'000;
  mutable std::mutex mutex_;
  engine::type_marks marks_;
  std::vector<std::shared_ptr<mark_waiter>> waiters_;
};

/// A living node of the cluster, and what it runs.
struct node_runs {
  std::string id;
  std::string name;
  bool self = false;
  engine::runnable_types types;
  /// Of those types and versions whose definition is known, what starting one takes.
  std::map<std::pair<std::string, std::uint32_t>, engine::child_type> definitions{};
  bool operator==(const node_runs&) const = default;
};

/// All of them; empty where there is no cluster. Thread-safe.
class fleet {
 public:
  using nodes = std::vector<node_runs>;
  void set(nodes all) {
    std::map<std::string, std::uint32_t, std::less<>> common;
    std::vector<const engine::runnable_types*> each;
    for (const auto& n : all) each.push_back(&n.types);
    for (const auto& n : all)
      for (const auto& [type, versions] : n.types)
        if (!common.contains(type)) common[type] = engine::common_version(each, type);
    decltype(definitions_) definitions;
    for (const auto& n : all) definitions.insert(n.definitions.begin(), n.definitions.end());
    auto shared = std::make_shared<const nodes>(std::move(all));
    const std::lock_guard lock(mutex_);
    nodes_ = std::move(shared);
    common_ = std::move(common);
    definitions_ = std::move(definitions);
  }
  /// The highest version that all run which have the type; 0: there is none.
  std::uint32_t common(std::string_view type) const {
    const std::lock_guard lock(mutex_);
    const auto it = common_.find(type);
    return it == common_.end() ? 0 : it->second;
  }
  /// What starting that version takes, where one of them runs it.
  std::optional<engine::child_type> definition(std::string_view type, std::uint32_t version) const {
    const std::lock_guard lock(mutex_);
    const auto it = definitions_.find({std::string(type), version});
    return it == definitions_.end() ? std::nullopt : std::optional(it->second);
  }
  /// Never null.
  std::shared_ptr<const nodes> all() const {
    const std::lock_guard lock(mutex_);
    return nodes_;
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const nodes> nodes_ = std::make_shared<const nodes>();
  std::map<std::string, std::uint32_t, std::less<>> common_;
  std::map<std::pair<std::string, std::uint32_t>, engine::child_type> definitions_;
};

}  // namespace pawl::actors
