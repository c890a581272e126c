#include "node/socket_path.hpp"

#include <fcntl.h>
#include <sys/un.h>
#include <unistd.h>

namespace pawl::node {

socket_path::socket_path(const std::string& path) {
  if (path.size() < sizeof(sockaddr_un::sun_path)) {
    name_ = path;
    return;
  }
  const auto slash = path.rfind('/');
  const auto directory = slash == std::string::npos ? std::string(".") : path.substr(0, slash + 1);
  directory_ = ::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (directory_ < 0) return;
  name_ = "/proc/self/fd/" + std::to_string(directory_) + "/" + path.substr(slash == std::string::npos ? 0 : slash + 1);
}

socket_path::~socket_path() {
  if (directory_ >= 0) ::close(directory_);
}

}  // namespace pawl::node
