// An await with a limit: `co_await wf.signal<bool>("approved").within(48h)`.
#pragma once

#include <chrono>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <pawl/operation.hpp>

namespace pawl {

/// What came in time, if it did. Of a void operation it only tells whether.
template <class T>
class timed {
 public:
  using value_type = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  timed() = default;
  explicit timed(value_type v) : value_(std::move(v)) {}

  bool timed_out() const { return !value_; }
  /// Throws std::bad_optional_access when it timed out.
  const value_type& value() const& { return value_.value(); }
  value_type&& value() && { return std::move(value_).value(); }
  template <class U>
  value_type value_or(U&& other) const& {
    return value_.value_or(std::forward<U>(other));
  }
  template <class U>
  value_type value_or(U&& other) && {
    return std::move(value_).value_or(std::forward<U>(other));
  }

  /// A timed<bool> that is asked like this would say "it came", and read as "it is true". Ask timed_out() or
  /// value_or().
  explicit operator bool() const = delete;

 private:
  std::optional<value_type> value_;
};

namespace detail {

/// A timer of the engine.
class timer_leaf : public leaf {
 public:
  timer_leaf(code_port& port, code_time due, const char* name) : leaf(kind::timer, port), due_(due), name_(name) {}
  timer_leaf(timer_leaf&&) = default;
  void take() { (void)outcome(); }

 protected:
  void on_begin() override { begins(port().begin_timer(*this, due_, name_)); }

 private:
  code_time due_;
  const char* name_;  // static text, for people
};

/// Adds what a wait may last, within what can be recorded.
code_time after(code_time now, std::chrono::milliseconds wait);

/// An operation beside a timer: when the timer fires first, the operation is cancelled.
template <class Op>
class within_operation final : public operation, private observer {
 public:
  using value = result_of<Op>;

  within_operation(Op&& op, code_port& port, std::chrono::milliseconds limit)
      : op_(std::move(op)),
        port_(&port),
        limit_(limit) {}
  within_operation(within_operation&& other) noexcept
      : operation(std::move(other)),
        op_(std::move(other.op_)),
        port_(other.port_),
        limit_(other.limit_) {}

  void cancel(const cancelled& why) noexcept override {
    if (done()) return;
    // Whose time is over may still clean up; that the limit passes meanwhile is not why.
    if (!expired_) timer_.reset();
    op_.cancel(why);
  }

  timed<value> take() {
    try {
      if constexpr (std::is_void_v<value>) {
        op_.take();
        return timed<value>(std::monostate());
      } else {
        return timed<value>(op_.take());
      }
    } catch (const cancelled&) {
      if (!expired_) throw;
      return {};
    }
  }

 private:
  void on_begin() override {
    op_.begin(*this);
    if (op_.done()) return;
    timer_.emplace(*port_, after(port_->now(), limit_), "within");
    timer_->begin(*this);
  }
  void on_done(operation& what) noexcept override {
    if (&what == &op_) {
      timer_.reset();
      settle();
    } else if (!op_.done()) {
      expired_ = true;
      op_.cancel(cancelled("timed out"));
    }
  }

  Op op_;
  code_port* port_;
  std::chrono::milliseconds limit_;
  std::optional<timer_leaf> timer_{};
  bool expired_ = false;
};

}  // namespace detail
}  // namespace pawl
