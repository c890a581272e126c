#include "node/access_token.hpp"

#include "config/setting.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>

namespace pawl::node {
namespace {

constexpr std::size_t shortest = 16;
constexpr std::size_t longest = 4096;
constexpr auto how_to_make = "Make one with `openssl rand -hex 32`";

/// What RFC 6750 allows in a header.
bool is_plain(std::string_view text) {
  return text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") ==
         std::string_view::npos;
}

}  // namespace

bool access_token::shown_by(std::string_view authorization) const {
  constexpr std::string_view scheme = "bearer ";
  if (secret_.empty() || authorization.size() < scheme.size()) return false;
  for (std::size_t i = 0; i < scheme.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != scheme[i]) return false;
  }
  const auto shown = authorization.substr(scheme.size());
  // No early end: every byte that was shown is compared with some byte of the token.
  volatile unsigned char differs = shown.size() == secret_.size() ? 0 : 1;
  for (std::size_t i = 0; i < shown.size(); ++i)
    differs = static_cast<unsigned char>(differs | static_cast<unsigned char>(shown[i] ^ secret_[i % secret_.size()]));
  return differs == 0;
}

cli_result<access_token> check_access_token(const std::string& name, std::string secret) {
  if (secret.size() < shortest || secret.size() > longest)
    return usage_error(
        name + ": the token has to have " + std::to_string(shortest) + " to " + std::to_string(longest) + " characters",
        how_to_make);
  if (!is_plain(secret))
    return usage_error(name + ": the token has characters that a header cannot carry",
                       "Letters, digits and -._~+/= may be in it. " + std::string(how_to_make));
  return access_token(std::move(secret));
}

cli_result<access_token> read_token_file(const std::string& name, const std::string& path) {
  std::ifstream in(path);
  std::string secret;
  if (in) std::getline(in, secret);
  if (!in && secret.empty())
    return usage_error(name + ": " + config::in_quotes(path) +
                           (in.eof() ? " is empty" : std::string(" cannot be read: ") + std::strerror(errno)),
                       "Name a file with the token on its first line. " + std::string(how_to_make));
  while (!secret.empty() && (secret.back() == '\r' || secret.back() == ' ')) secret.pop_back();
  return check_access_token(name + " " + config::in_quotes(path), std::move(secret));
}

cli_result<access_token> read_access_token(const config::http_settings& s) {
  if (!s.token.empty() && !s.token_file.empty())
    return usage_error("http.token and http.token_file are both set", "Leave one of them out");
  if (!s.token_file.empty()) return read_token_file("http.token_file", s.token_file);
  if (!s.token.empty()) return check_access_token("http.token", s.token);
  return access_token();
}

}  // namespace pawl::node
