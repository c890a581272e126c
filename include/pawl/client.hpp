// Asks a node from a program of its own: starts workflows, signals them, waits for results. Link pawl_node.
//
//   auto shop = pawl::client::at("127.0.0.1:7400", token);
//   shop.start("fulfil-order", "o-17", order{...});
//   shop.signal("o-17", "approved", true);
//   auto paid = shop.result<receipt>("o-17", 30s);
//
// Whatever is sent carries a command id, so that it is done once however often it is sent: what gave no answer may be
// sent again under the same id.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

#include <pawl/codec.hpp>
#include <pawl/schema.hpp>

namespace pawl {

/// A node refused, or gave no answer.
class client_error : public std::runtime_error {
 public:
  client_error(int status, std::string code, const std::string& message, std::string command_id)
      : std::runtime_error(message),
        status_(status),
        code_(std::move(code)),
        command_id_(std::move(command_id)) {}
  /// As in docs/http.md; 0: there was no answer, and what was sent may be recorded or not.
  int status() const noexcept { return status_; }
  /// "not_found", "conflict", "invalid", "busy", "unavailable", ...; "no_answer".
  const std::string& code() const noexcept { return code_; }
  /// Under which it may be sent again; empty where nothing was to be recorded.
  const std::string& command_id() const noexcept { return command_id_; }

 private:
  int status_;
  std::string code_;
  std::string command_id_;
};

/// A run that was waited for has ended without a result.
class run_failed : public std::runtime_error {
 public:
  run_failed(std::string state, std::string code, const std::string& message)
      : std::runtime_error(message),
        state_(std::move(state)),
        code_(std::move(code)) {}
  /// failed, cancelled or killed.
  const std::string& state() const noexcept { return state_; }
  const std::string& code() const noexcept { return code_; }

 private:
  std::string state_;
  std::string code_;
};

struct start_choices {
  std::uint32_t version = 0;                 ///< 0: the one for new runs
  std::chrono::milliseconds deadline{0};     ///< of the run; 0: that of its type
  bool again_if_closed = false;              ///< begin another run where the workflow id has a closed one
  std::string command_id{};                  ///< empty: one is made
};

struct started_run {
  std::string run_uid;
  std::uint32_t run = 0;
  bool began_now = false;  ///< false: the same command had started it before
};

/// One connection, which is opened when it is needed and kept. Thread-compatible: one thread at a time. Every call
/// blocks until it is answered and throws client_error.
class client {
 public:
  /// The node that runs on this data directory.
  static client on(const std::string& data_directory);
  /// A node that listens on "host:port", with the token of http.token where it has one.
  static client at(const std::string& address, const std::string& token = {});
  ~client();
  client(client&&) noexcept;
  client& operator=(client&&) noexcept;

  template <storable In>
  started_run start(std::string_view type, std::string_view workflow_id, const In& input,
                    const start_choices& choices = {}) {
    return start_with(type, workflow_id, encode(input), choices);
  }
  started_run start(std::string_view type, std::string_view workflow_id, const start_choices& choices = {}) {
    return start_with(type, workflow_id, encode(std::monostate()), choices);
  }

  /// To code that awaits `wf.signal<T>(name)`, or will. Done once it is on record.
  template <storable T>
  void signal(std::string_view workflow_id, std::string_view name, const T& value, const std::string& command_id = {}) {
    signal_with(workflow_id, name, encode(value), command_id);
  }
  void signal(std::string_view workflow_id, std::string_view name) {
    signal_with(workflow_id, name, encode(std::monostate()), {});
  }
  void cancel(std::string_view workflow_id, std::string_view reason, const std::string& command_id = {});

  /// What the newest run of the workflow returned, waiting at most so long for its end. Throws run_failed when it ended
  /// otherwise, client_error with code "not_yet" when it has not ended.
  template <class R>
  R result(std::string_view workflow_id, std::chrono::milliseconds wait = std::chrono::milliseconds(0)) {
    if constexpr (std::is_void_v<R>) {
      (void)result_of(workflow_id, wait, nullptr);
    } else {
      return decode<R>(result_of(workflow_id, wait, &descriptor_of<R>()));
    }
  }

 private:
  struct state;
  explicit client(std::unique_ptr<state> s);
  started_run start_with(std::string_view type, std::string_view workflow_id, std::string input,
                         const start_choices& choices);
  void signal_with(std::string_view workflow_id, std::string_view name, std::string value,
                   const std::string& command_id);
  std::string result_of(std::string_view workflow_id, std::chrono::milliseconds wait, const type_descriptor* type);
  std::unique_ptr<state> state_;
};

}  // namespace pawl
