// Several operations at once:
//
//   auto [hotel, flight] = co_await pawl::all(wf.step("hotel", book_hotel, trip), wf.step("flight", book_flight,
//   trip)); auto first           = co_await pawl::any(wf.signal<bool>("approved"), wf.sleep(48h));   // a std::variant
//   auto receipts        = co_await pawl::each(orders, 16, [&](const order& o) { return wf.step("bill", bill, o); });
//
// What they take are operations: steps, timers, signals, tasks, and each other. They begin in the order in which they
// are written. When one fails, or the race is over, the others are cancelled: a step is told to stop, a task gets
// pawl::cancelled at its await, and the combinator waits until each task has ended.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <pawl/operation.hpp>
#include <pawl/timed.hpp>
#include <pawl/workflow_context.hpp>

namespace pawl {
namespace detail {

template <class Op>
using stored_result_of = std::conditional_t<std::is_void_v<result_of<Op>>, std::monostate, result_of<Op>>;

template <class Op>
stored_result_of<Op> take_stored(Op& op) {
  if constexpr (std::is_void_v<result_of<Op>>) {
    op.take();
    return {};
  } else {
    return op.take();
  }
}

/// What all of them do: begin some operations, hear of their ends, cancel the rest, settle when none is under way.
class group : public operation, protected observer {
 public:
  void cancel(const cancelled& why) noexcept final {
    if (done() || stopping_) return;
    cancelled_ = why;
    stop(why);
    settle_if_still();
  }

 protected:
  group() = default;
  group(group&& other) noexcept : operation(std::move(other)) {}

  /// Begins one, unless nothing is to begin any more.
  void start(operation& op) {
    if (stopping_) return;
    ++under_way_;
    op.begin(*this);
  }
  /// Nothing else begins, and what is under way is cancelled.
  void stop(const cancelled& why) noexcept {
    if (stopping_) return;
    stopping_ = true;
    const hold h(*this);
    cancel_rest(why);
  }
  bool stopping() const { return stopping_; }
  bool was_cancelled() const { return cancelled_.has_value(); }
  std::size_t under_way() const { return under_way_; }
  /// Call it when nothing more is begun for now.
  void settle_if_still() noexcept {
    if (under_way_ == 0 && held_ == 0 && !done() && nothing_left()) settle();
  }
  /// Puts off settling: whoever hears of it may destroy this, so it is the last thing that is done.
  class hold {
   public:
    explicit hold(group& g) : group_(g) { ++group_.held_; }
    hold(const hold&) = delete;
    hold& operator=(const hold&) = delete;
    ~hold() { --group_.held_; }

   private:
    group& group_;
  };
  void throw_if_cancelled() const {
    if (cancelled_) throw cancelled(*cancelled_);
  }

  virtual void begin_all() = 0;
  virtual void cancel_rest(const cancelled& why) noexcept = 0;
  /// One that was under way is done.
  virtual void one_done(operation& what) noexcept = 0;
  virtual bool nothing_left() const noexcept { return true; }

 private:
  void on_begin() final {
    {
      const hold h(*this);
      begin_all();
    }
    settle_if_still();
  }
  void on_done(operation& what) noexcept final {
    --under_way_;
    one_done(what);
    settle_if_still();
  }

  std::size_t under_way_ = 0;
  std::uint32_t held_ = 0;
  bool stopping_ = false;
  std::optional<cancelled> cancelled_{};
};

template <class... Op>
class fixed_group : public group {
 protected:
  explicit fixed_group(Op&&... ops) : ops_(std::move(ops)...) {}
  fixed_group(fixed_group&& other) noexcept : group(std::move(other)), ops_(std::move(other.ops_)) {}

  void begin_all() final {
    std::apply([this](Op&... op) { (start(op), ...); }, ops_);
  }
  void cancel_rest(const cancelled& why) noexcept final {
    std::apply([&](Op&... op) { ((op.begun() ? op.cancel(why) : void()), ...); }, ops_);
  }
  std::size_t index_of(const operation& what) const {
    std::size_t found = 0, n = 0;
    std::apply([&](const Op&... op) { ((static_cast<const operation*>(&op) == & what ? found = n : 0, ++n), ...); },
               ops_);
    return found;
  }
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();
  std::tuple<Op...> ops_;
};

template <class Op>
bool has_failed(Op& op, std::optional<stored_result_of<Op>>& value, std::exception_ptr& error) noexcept {
  try {
    value.emplace(take_stored(op));
    return false;
  } catch (...) {
    error = std::current_exception();
    return true;
  }
}

}  // namespace detail

/// Gives a std::tuple of what each gave, std::monostate for void. The first failure is thrown, when the others have
/// been cancelled and have ended.
template <class... Op>
class [[nodiscard]] all_operation final : public detail::fixed_group<Op...> {
 public:
  explicit all_operation(Op&&... ops) : detail::fixed_group<Op...>(std::move(ops)...) {}
  all_operation(all_operation&& other) noexcept : detail::fixed_group<Op...>(std::move(other)) {}

  std::tuple<detail::stored_result_of<Op>...> take() {
    if (error_) std::rethrow_exception(error_);
    this->throw_if_cancelled();
    return std::apply([](auto&... v) { return std::tuple<detail::stored_result_of<Op>...>{std::move(*v)...}; },
                      values_);
  }

 private:
  void one_done(detail::operation& what) noexcept override {
    take_one(this->index_of(what), std::index_sequence_for<Op...>());
  }
  template <std::size_t... I>
  void take_one(std::size_t index, std::index_sequence<I...>) noexcept {
    std::exception_ptr error;
    const bool failed =
        ((I == index ? detail::has_failed(std::get<I>(this->ops_), std::get<I>(values_), error) : false) || ...);
    if (!failed || this->stopping()) return;
    error_ = error;
    this->stop(cancelled("another part has failed"));
  }

  std::tuple<std::optional<detail::stored_result_of<Op>>...> values_;
  std::exception_ptr error_;
};

/// The first that is done wins: gives a std::variant whose index tells which, std::monostate for void. If it failed,
/// its error is thrown. The others are cancelled.
template <class... Op>
class [[nodiscard]] any_operation final : public detail::fixed_group<Op...> {
 public:
  explicit any_operation(Op&&... ops) : detail::fixed_group<Op...>(std::move(ops)...) {}
  any_operation(any_operation&& other) noexcept : detail::fixed_group<Op...>(std::move(other)) {}

  using result = std::variant<detail::stored_result_of<Op>...>;
  result take() {
    if (winner_ == this->none) this->throw_if_cancelled();
    return take_one(std::index_sequence_for<Op...>());
  }

 private:
  void one_done(detail::operation& what) noexcept override {
    if (this->stopping()) return;
    winner_ = this->index_of(what);
    this->stop(cancelled("another was first"));
  }
  template <std::size_t... I>
  result take_one(std::index_sequence<I...>) {
    std::optional<result> out;
    (void)((I == winner_ ? (out.emplace(std::in_place_index<I>, detail::take_stored(std::get<I>(this->ops_))), true)
                         : false) ||
           ...);
    return std::move(*out);
  }
  std::size_t winner_ = std::numeric_limits<std::size_t>::max();
};

/// `make(element)` for each element, at most `limit` at once, in their order. Gives a std::vector of what each gave, in
/// the order of the elements; nothing when that is void. The first failure is thrown, when those under way have been
/// cancelled and have ended; the rest never begin.
template <class Range, class Make>
class [[nodiscard]] each_operation final : public detail::group {
 public:
  using iterator = decltype(std::begin(std::declval<Range&>()));
  using op = std::remove_cvref_t<std::invoke_result_t<Make&, decltype(*std::declval<iterator&>())>>;
  static_assert(detail::awaitable_operation<op>, "pawl::each takes a function that gives a step, a task or the like");
  static constexpr bool is_void = std::is_void_v<detail::result_of<op>>;

  each_operation(Range&& range, std::size_t limit, Make&& make)
      : range_(std::move(range)),
        make_(std::move(make)),
        limit_(limit == 0 ? 1 : limit) {}
  each_operation(each_operation&& other) noexcept
      : group(std::move(other)),
        range_(std::move(other.range_)),
        make_(std::move(other.make_)),
        limit_(other.limit_) {}

  std::conditional_t<is_void, void, std::vector<detail::stored_result_of<op>>> take() {
    if (error_) std::rethrow_exception(error_);
    throw_if_cancelled();
    if constexpr (!is_void) {
      std::vector<detail::stored_result_of<op>> out;
      out.reserve(values_.size());
      for (auto& v : values_) out.push_back(std::move(*v));
      return out;
    }
  }

 private:
  struct entry {
    entry(op&& o, std::size_t i) : what(std::move(o)), index(i) {}
    op what;
    std::size_t index;
  };

  void begin_all() override {
    at_.emplace(std::begin(range_));
    fill();
  }
  // Several may be done before they return from here.
  void fill() {
    if (filling_) return;
    filling_ = true;
    const hold h(*this);
    while (!stopping() && *at_ != std::end(range_) && under_way() < limit_) {
      const auto index = values_.size();
      values_.emplace_back();
      try {
        open_.push_back(std::make_unique<entry>(make_(**at_), index));
        ++*at_;
        start(open_.back()->what);
      } catch (...) {
        fail(std::current_exception());
      }
      sweep();
    }
    filling_ = false;
  }
  void one_done(detail::operation& what) noexcept override {
    for (auto& e : open_) {
      if (static_cast<detail::operation*>(&e->what) != &what) continue;
      std::exception_ptr error;
      if (detail::has_failed(e->what, values_[e->index], error)) fail(error);
    }
    if (!filling_ && at_) {
      sweep();
      fill();
    }
  }
  void fail(std::exception_ptr error) noexcept {
    if (stopping()) return;
    error_ = std::move(error);
    stop(cancelled("another part has failed"));
  }
  void cancel_rest(const cancelled& why) noexcept override {
    // Those done while this goes on stay in open_ until it is over.
    const bool was = std::exchange(filling_, true);
    for (std::size_t n = 0; n < open_.size(); ++n)
      if (!open_[n]->what.done()) open_[n]->what.cancel(why);
    filling_ = was;
  }
  void sweep() noexcept {
    std::erase_if(open_, [](const auto& e) { return e->what.done(); });
  }
  bool nothing_left() const noexcept override { return stopping() || !at_ || *at_ == std::end(range_); }

  Range range_;
  Make make_;
  std::size_t limit_;
  std::optional<iterator> at_{};
  std::vector<std::unique_ptr<entry>> open_{};
  std::vector<std::optional<detail::stored_result_of<op>>> values_{};
  std::exception_ptr error_{};
  bool filling_ = false;
};

namespace detail {

/// Goes on when the task around it is cancelled.
template <class Op>
class shield_operation final : public operation, private observer {
 public:
  explicit shield_operation(Op&& op) : op_(std::move(op)) {}
  shield_operation(shield_operation&& other) noexcept : operation(std::move(other)), op_(std::move(other.op_)) {}
  void cancel(const cancelled&) noexcept override {}
  bool is_shielded() const override { return true; }
  result_of<Op> take() { return op_.take(); }

 private:
  void on_begin() override { op_.begin(*this); }
  void on_done(operation&) noexcept override { settle(); }
  Op op_;
};

}  // namespace detail

template <detail::awaitable_operation... Op>
  requires(sizeof...(Op) > 0 && (!std::is_lvalue_reference_v<Op> && ...))
all_operation<Op...> all(Op&&... ops) {
  return all_operation<Op...>(std::move(ops)...);
}

template <detail::awaitable_operation... Op>
  requires(sizeof...(Op) > 0 && (!std::is_lvalue_reference_v<Op> && ...))
any_operation<Op...> any(Op&&... ops) {
  return any_operation<Op...>(std::move(ops)...);
}

/// The range is copied, or moved from.
template <class Range, class Make>
each_operation<std::decay_t<Range>, std::decay_t<Make>> each(Range&& range, std::size_t limit, Make&& make) {
  return {std::decay_t<Range>(std::forward<Range>(range)), limit, std::decay_t<Make>(std::forward<Make>(make))};
}

/// For clean-up: goes on although the run is cancelled. `co_await pawl::shield(give_back(wf, h));`
template <detail::awaitable_operation Op>
  requires(!std::is_lvalue_reference_v<Op>)
detail::shield_operation<Op> shield(Op&& op) {
  return detail::shield_operation<Op>(std::move(op));
}

/// Any operation with a limit; gives timed<T>. (Steps and signals have it as a member.)
template <detail::awaitable_operation Op>
  requires(!std::is_lvalue_reference_v<Op>)
detail::within_operation<Op> within(workflow_context& wf, std::chrono::milliseconds limit, Op&& op) {
  return {std::move(op), wf.port(), limit};
}

}  // namespace pawl
