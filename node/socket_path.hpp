// Unix sockets whose paths are longer than the kernel's 107 bytes: it is given a short name for the same place.
#pragma once

#include <string>

namespace pawl::node {

/// Holds the directory of a socket open; valid as long as this lives.
class socket_path {
 public:
  explicit socket_path(const std::string& path);
  ~socket_path();
  socket_path(const socket_path&) = delete;
  socket_path& operator=(const socket_path&) = delete;

  /// What bind() and connect() take. Empty: the directory cannot be opened, errno says why.
  const std::string& short_name() const { return name_; }

 private:
  int directory_ = -1;
  std::string name_;
};

}  // namespace pawl::node
