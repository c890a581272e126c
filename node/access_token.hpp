// The token that callers over TCP show in `Authorization: Bearer`. A secret: it reaches no log, no error, no listing.
#pragma once

#include "config/settings.hpp"
#include "node/cli_error.hpp"

#include <string>
#include <string_view>

namespace pawl::node {

class access_token {
 public:
  /// None: who can reach the node may ask it.
  access_token() = default;
  /// Not checked; see read_access_token().
  explicit access_token(std::string secret) : secret_(std::move(secret)) {}

  bool empty() const { return secret_.empty(); }
  /// Whether that value of the header Authorization shows it. How long it takes tells the length of what was shown, and
  /// nothing of the token. False without a token.
  bool shown_by(std::string_view authorization) const;
  /// The header's value for a request of our own.
  std::string authorization() const { return "Bearer " + secret_; }

 private:
  std::string secret_;
};

/// What http.token and http.token_file say; empty when neither does. Errors name the setting and the file only.
cli_result<access_token> read_access_token(const config::http_settings& s);
/// ... one that was found under that name, or in that file.
cli_result<access_token> check_access_token(const std::string& name, std::string secret);
cli_result<access_token> read_token_file(const std::string& name, const std::string& path);

}  // namespace pawl::node
