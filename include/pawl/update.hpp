// Requests that workflow code answers: `auto u = co_await wf.update<change, plan>("change-plan");`
//
//   const auto& asked = u.input();
//   if (asked.seats < 1) u.refuse("a plan has at least one seat", "no_seats");
//   else u.answer(co_await wf.step("change", change_plan, asked));
//
// The request is recorded when it comes, and kept in order as signals are; the answer is recorded once, and whoever
// asked gets it then, however often and wherever he asks again.
#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <pawl/code_errors.hpp>
#include <pawl/codec.hpp>
#include <pawl/operation.hpp>
#include <pawl/timed.hpp>

namespace pawl {

namespace detail {

/// The part of an update that does not know its types.
class update_base {
 public:
  update_base(code_port& port, std::uint64_t seq) : port_(&port), seq_(seq) {}
  update_base(update_base&& other) noexcept : port_(std::exchange(other.port_, nullptr)), seq_(other.seq_) {}
  update_base& operator=(update_base&& other) noexcept {
    if (this == &other) return *this;
    leave();
    port_ = std::exchange(other.port_, nullptr);
    seq_ = other.seq_;
    return *this;
  }
  ~update_base() { leave(); }

  /// Tells whoever asked that it is not done, and why. `code` is a short word for programs.
  void refuse(std::string_view message, std::string_view code = "refused") {
    open().refuse_update(seq_, std::string(code), std::string(message));
    port_ = nullptr;
  }
  /// Answered, refused, or moved from.
  bool answered() const { return port_ == nullptr; }

 protected:
  void answer_with(std::string value) {
    open().answer_update(seq_, std::move(value));
    port_ = nullptr;
  }

 private:
  code_port& open() const {
    if (!port_) throw std::logic_error("an update is answered once, and this one has been, or was moved from");
    return *port_;
  }
  void leave() noexcept {
    if (port_) port_->drop_update(seq_);
  }

  code_port* port_;  // null: answered
  std::uint64_t seq_;  // of the event
};

}  // namespace detail

/// One request that awaits its answer. Movable; it may be answered many awaits later. One that is destroyed without an
/// answer is refused with the code "unanswered".
template <class Request, class Answer>
class [[nodiscard]] update final : public detail::update_base {
 public:
  using input_type = std::conditional_t<std::is_void_v<Request>, std::monostate, Request>;

  update(detail::code_port& port, std::uint64_t seq, input_type input)
      : update_base(port, seq),
        input_(std::move(input)) {}

  const input_type& input() const { return input_; }
  /// Once. Throws std::logic_error when it has been answered.
  template <class A = Answer>
    requires(!std::is_void_v<A>)
  void answer(const A& value) {
    answer_with(encode<Answer>(value));
  }
  template <class A = Answer>
    requires(std::is_void_v<A>)
  void answer() {
    answer_with(encode(std::monostate()));
  }

 private:
  input_type input_;
};

namespace detail {
template <class R, class A>
inline constexpr bool stays_in_code<update<R, A>> = true;
}  // namespace detail

/// The next update of that name, in the order of their coming; those that came before the await included.
template <class Request, class Answer>
class [[nodiscard]] update_operation final : public detail::leaf {
 public:
  update_operation(detail::code_port& port, std::string name) : leaf(kind::update, port), name_(std::move(name)) {}
  update_operation(update_operation&&) = default;
  // Given to who lost a race meanwhile: nobody will answer it.
  ~update_operation() override {
    if (seq() != 0 && !taken_) port().drop_update(seq());
  }

  /// Gives timed<update>. One that comes later stays for the next who awaits it.
  detail::within_operation<update_operation> within(std::chrono::milliseconds limit) && {
    auto& port = this->port();
    return {std::move(*this), port, limit};
  }

  update<Request, Answer> take() {
    const auto bytes = outcome();
    taken_ = true;
    if constexpr (std::is_void_v<Request>)
      return {port(), seq(), std::monostate()};
    else
      return {port(), seq(), decode<Request>(bytes)};
  }

 private:
  static std::string check(std::string_view bytes) {
    if constexpr (!std::is_void_v<Request>) {
      try {
        (void)decode<Request>(bytes);
      } catch (const codec_error& e) {
        return e.what();
      }
    }
    return {};
  }
  void on_begin() override { begins(port().begin_update(*this, name_, &check)); }
  std::string name_;
  bool taken_ = false;
};

}  // namespace pawl
