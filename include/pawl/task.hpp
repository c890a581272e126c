// Workflow code: C++20 coroutines that outlive their process.
//
//   pawl::task<receipt> fulfil(pawl::workflow_context& wf, order o) {
//     auto held = co_await wf.step("reserve", reserve, o).undo(release, o);
//     co_return co_await wf.step("charge", charge, o, held);
//   }
//
// Every await is recorded, and a node that was not there calls the function again and gives it the recorded answers. So
// code must do the same every time: time, random numbers and ids come from the context, the outside world is reached in
// steps only. A task is a free function whose first parameter is workflow_context& and whose others are values of its
// own: the frame outlives the caller.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
#error \
    "pawl/task.hpp: durable code needs clang 19 or later. g++ destroys temporaries of a co_await expression twice and " \
       "drops a body that begins with `if (co_await ...)`; graphs (pawl/workflow.hpp) build with it"
#endif

#include <coroutine>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <pawl/codec.hpp>
#include <pawl/operation.hpp>
#include <pawl/registry.hpp>
#include <pawl/schema.hpp>
#include <pawl/wiring.hpp>
#include <pawl/workflow_context.hpp>

namespace pawl {

template <class T>
class task;

namespace detail {

class task_base;

/// What promises of all tasks have in common.
struct promise_base : frame {
  promise_base(workflow_context& wf, std::coroutine_handle<> h);
  promise_base(const promise_base&) = delete;
  promise_base& operator=(const promise_base&) = delete;
  ~promise_base();

  code_port& port;
  task_base* owner = nullptr;
  std::optional<cancelled> cancel_reason{};  ///< every await that is not shielded throws it
  std::exception_ptr error{};

  struct last_stop {
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> h) const noexcept {
      h.promise().finish();
    }
    void await_resume() const noexcept {}
  };
  std::suspend_always initial_suspend() const noexcept { return {}; }
  last_stop final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept { error = std::current_exception(); }
  void finish() noexcept;
};

/// A task without its type. Awaiting it runs it to its end.
class task_base : public operation {
 public:
  explicit task_base(promise_base& p) : promise_(&p) { p.owner = this; }
  task_base(task_base&& other) noexcept
      : operation(std::move(other)),
        promise_(std::exchange(other.promise_, nullptr)) {
    if (promise_) promise_->owner = this;
  }
  ~task_base() override;
  void cancel(const cancelled& why) noexcept final;

 protected:
  void on_begin() final { promise_->port.resume_soon(promise_->handle); }
  void rethrow() const {
    if (promise_->error) std::rethrow_exception(promise_->error);
  }
  promise_base* promise_;

 private:
  friend struct promise_base;
};

inline promise_base::promise_base(workflow_context& wf, std::coroutine_handle<> h) : port(wf.port()) {
  handle = h;
  port.enter(*this);
}
inline promise_base::~promise_base() {
  if (owner) owner->promise_ = nullptr;
  port.leave(*this);
}
inline void promise_base::finish() noexcept { owner->settle(); }

inline task_base::~task_base() {
  if (promise_) std::exchange(promise_, nullptr)->handle.destroy();
}
inline void task_base::cancel(const cancelled& why) noexcept {
  // A loop, since tasks may be nested deeper than the stack is.
  for (auto* t = this; !t->done() && !t->promise_->cancel_reason;) {
    t->promise_->cancel_reason = why;
    auto* awaited = t->promise_->awaiting;
    if (!awaited || awaited->is_shielded()) return;
    auto* nested = dynamic_cast<task_base*>(awaited);
    if (!nested) return awaited->cancel(why);
    t = nested;
  }
}

/// Suspends the coroutine until the operation is done.
template <class Op>
class await_operation final : private observer {
 public:
  await_operation(Op&& op, promise_base& p) : op_(std::move(op)), promise_(p) {}
  await_operation(const await_operation&) = delete;
  await_operation& operator=(const await_operation&) = delete;
  ~await_operation() {
    if (promise_.awaiting == &op_) promise_.awaiting = nullptr;
  }

  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<>) {
    if (promise_.cancel_reason && !op_.is_shielded()) {
      refused_ = true;
      return false;
    }
    promise_.awaiting = &op_;
    starting_ = true;
    op_.begin(*this);
    starting_ = false;
    return !op_.done();
  }
  result_of<Op> await_resume() {
    promise_.awaiting = nullptr;
    if (refused_) throw cancelled(*promise_.cancel_reason);
    return op_.take();
  }

 private:
  void on_done(operation&) noexcept override {
    if (!starting_) promise_.port.resume_soon(promise_.handle);
  }

  Op op_;
  promise_base& promise_;
  bool starting_ = false;
  bool refused_ = false;
};

template <class T>
struct promise : promise_base {
  template <class... A>
  explicit promise(workflow_context& wf, A&...)
      : promise_base(wf, std::coroutine_handle<promise>::from_promise(*this)) {}
  task<T> get_return_object() { return task<T>(*this); }
  template <class U = T>
    requires std::is_convertible_v<U&&, T>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  template <class X>
  auto await_transform(X&& what);

  std::optional<T> value;
};

template <>
struct promise<void> : promise_base {
  template <class... A>
  explicit promise(workflow_context& wf, A&...)
      : promise_base(wf, std::coroutine_handle<promise>::from_promise(*this)) {}
  task<void> get_return_object();
  void return_void() const noexcept {}
  template <class X>
  auto await_transform(X&& what);
};

template <class X>
auto transform_await(X&& what, promise_base& p) {
  static_assert(awaitable_operation<X>,
                "workflow code awaits steps, timers, signals and pawl::task only: whatever else takes time belongs "
                "into a step");
  static_assert(!std::is_lvalue_reference_v<X>,
                "an operation is awaited once: co_await the call itself, or std::move(what)");
  return await_operation<std::remove_cvref_t<X>>(std::move(what), p);
}
template <class T>
template <class X>
auto promise<T>::await_transform(X&& what) {
  return transform_await(std::forward<X>(what), *this);
}
template <class X>
auto promise<void>::await_transform(X&& what) {
  return transform_await(std::forward<X>(what), *this);
}

}  // namespace detail

/// Code of a workflow, or a part of it: a helper that other tasks await. Nothing runs until it is awaited.
template <class T>
class [[nodiscard]] task final : public detail::task_base {
 public:
  static_assert(!std::is_reference_v<T>, "a pawl::task returns a value: what a reference is to may be gone");

  /// For who awaits it.
  T take() {
    rethrow();
    if constexpr (!std::is_void_v<T>) return std::move(*static_cast<detail::promise<T>*>(promise_)->value);
  }

 private:
  friend struct detail::promise<T>;
  using detail::task_base::task_base;
};

namespace detail {

inline task<void> promise<void>::get_return_object() { return task<void>(*this); }

template <class T>
class root_task_of final : public root_task {
 public:
  explicit root_task_of(task<T> t) : task_(std::move(t)) {}
  operation& whole() override { return task_; }
  std::string take() override {
    if constexpr (std::is_void_v<T>) {
      task_.take();
      return encode(std::monostate());
    } else {
      return encode<T>(task_.take());
    }
  }

 private:
  task<T> task_;
};

template <class P>
inline constexpr bool is_owned_value = !std::is_reference_v<P> && !borrows<std::remove_cv_t<P>>;

template <class... A>
inline constexpr bool begins_with_context = false;
template <class First, class... A>
inline constexpr bool begins_with_context<First, A...> = std::is_same_v<First, workflow_context&>;

template <class... A>
inline constexpr bool all_owned = false;
template <class First, class... A>
inline constexpr bool all_owned<First, A...> = (is_owned_value<A> && ...);

}  // namespace detail

template <class R, class... A>
registry& registry::add(std::string_view type, const workflow_options& options,
                        task<R> (*code)(workflow_context&, A...)) {
  static_assert(sizeof...(A) <= 1, "the code of a workflow takes one input: put several values into a struct");
  static_assert((storable<A> && ...),
                "the input of a workflow must be storable: give the struct PAWL_FIELDS, or specialise pawl::codec");
  static_assert(std::is_void_v<R> || storable<R>,
                "the result of a workflow must be storable: give the struct PAWL_FIELDS, or specialise pawl::codec");
  detail::code_definition d;
  d.type = type;
  d.options = options;
  d.input = &descriptor_of<std::monostate>();
  ((d.input = &descriptor_of<A>()), ...);
  if constexpr (!std::is_void_v<R>) d.result = &descriptor_of<R>();
  if (code != nullptr)
    d.call = [code](workflow_context& wf,
                    [[maybe_unused]] std::string_view input) -> std::unique_ptr<detail::root_task> {
      return std::make_unique<detail::root_task_of<R>>(code(wf, decode<A>(input)...));
    };
  return add(d);
}

}  // namespace pawl

template <class R, class... A>
struct std::coroutine_traits<pawl::task<R>, A...> {
  static_assert(pawl::detail::begins_with_context<A...>,
                "a pawl::task is a free function whose first parameter is pawl::workflow_context& (no member and no "
                "lambda: its object would not outlive the call)");
  static_assert(!pawl::detail::begins_with_context<A...> || pawl::detail::all_owned<A...>,
                "parameters of a pawl::task are values of its own: no reference, pointer, string_view or span, since "
                "the frame outlives the caller");
  using promise_type = pawl::detail::promise<R>;
};
