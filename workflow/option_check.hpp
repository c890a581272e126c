// What may be wrong with names and options, of graphs and of code alike. Each problem says where and how to mend it.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <pawl/definition.hpp>

namespace pawl::detail {

class option_checker {
 public:
  void check_type(const workflow_definition& d);
  void check_name(const std::string& where, const std::string& name);
  void check_options(const std::string& where, const step_options& options);
  std::vector<std::string> take() && { return std::move(problems_); }

 protected:
  void problem(std::string text) { problems_.push_back(std::move(text)); }

 private:
  void check_positive(const std::string& where, const char* option,
                      const std::optional<std::chrono::milliseconds>& duration);
  void check_retry(const std::string& where, const retry_options& retry);

  std::vector<std::string> problems_;
};

}  // namespace pawl::detail
