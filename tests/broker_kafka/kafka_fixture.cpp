#include "tests/broker_kafka/kafka_fixture.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "broker/topics.hpp"

namespace pawl::broker {

real_kafka::real_kafka() {
  const char* source = std::getenv("PAWL_SOURCE");  // ctest sets it
  const std::string script = std::string(source ? source : ".") + "/tests/scripts/kafka_broker.py";
  int in[2];
  int out[2];
  if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("no pipes");
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(in[0], 0);
    ::dup2(out[1], 1);
    // What the sanitizers preload is not for the interpreter.
    ::unsetenv("LD_PRELOAD");
    ::execlp("python3", "python3", script.c_str(), "serve", nullptr);
    ::_exit(127);
  }
  ::close(in[0]);
  ::close(out[1]);
  to_ = in[1];
  from_ = ::fdopen(out[0], "r");
  const auto answer = line();
  if (!answer.starts_with("ready ")) throw std::runtime_error("Kafka did not start: " + answer);
  bootstrap_ = answer.substr(6);
}

real_kafka::~real_kafka() {
  ::close(to_);  // it ends when nobody holds the other end
  if (pid_ > 0) ::waitpid(pid_, nullptr, 0);
  if (from_ != nullptr) std::fclose(from_);
}

std::string real_kafka::line() {
  std::string out;
  for (int c = 0; (c = std::fgetc(from_)) != EOF && c != '\n';) out += static_cast<char>(c);
  return out;
}

void real_kafka::tell(const std::string& command) {
  const auto text = command + "\n";
  if (::write(to_, text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    throw std::runtime_error("it is gone");
  const auto answer = line();
  if (answer != "done") throw std::runtime_error(command + ": " + answer);
}

namespace {
std::unique_ptr<real_kafka> the_broker;
}

void on_kafka::SetUpTestSuite() {
  if (!the_broker) the_broker = std::make_unique<real_kafka>();
}

real_kafka& on_kafka::broker() { return *the_broker; }

kafka_options on_kafka::client() const {
  return {.brokers = broker().bootstrap(), .properties = {{"socket.timeout.ms", "3000"}}, .client_id = "pawl-test"};
}

void on_kafka::SetUp() {
  static int cases = 0;
  name_space = "t" + std::to_string(::getpid()) + "-" + std::to_string(++cases);
  // The case before may have stopped the broker for longer than its controller waits for it: then it is fenced until it
  // has been heard again.
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (bool fenced = false;; fenced = true) {
    try {
      const auto made = create_topics(client(), {.name_space = name_space, .partitions = 1, .single_broker = true});
      if (!fenced) ASSERT_EQ(made.size(), 5U);
      return;
    } catch (const std::exception& e) {
      if (std::string_view(e.what()).find("fenced") == std::string_view::npos) throw;
      if (std::chrono::steady_clock::now() > deadline) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

}  // namespace pawl::broker
