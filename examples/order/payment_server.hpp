// The payment service's sockets: Boost.Beast, asynchronous, one thread.
#pragma once

#include <cstdint>
#include <memory>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "examples/order/fault_plan.hpp"
#include "examples/order/payment_api.hpp"

namespace payment {

/// Serves `api` on 127.0.0.1 from the thread that runs `io`. All three must outlive the server.
class payment_server {
 public:
  /// Listens on `port`, 0 being any free one. Throws boost::system::system_error.
  payment_server(boost::asio::io_context& io, payment_api& api, const fault_plan& faults, std::uint16_t port);

  std::uint16_t port() const { return port_; }
  void start() { accept(); }

 private:
  friend class session;
  void accept();
  void session_ended();

  boost::asio::io_context& io_;
  payment_api& api_;
  const fault_plan& faults_;
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  std::uint16_t port_ = 0;
  std::size_t sessions_ = 0;
  bool accepting_ = false;
  // A session may outlive the server, inside of an io_context that is being destroyed; it looks here first.
  std::shared_ptr<payment_server*> self_ = std::make_shared<payment_server*>(this);
};

}  // namespace payment
