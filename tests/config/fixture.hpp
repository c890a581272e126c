#pragma once

#include "config/load.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace pawl::config {

// A directory of its own for each test, and short spellings of a load.
class configuration_test : public testing::Test {
 protected:
  configuration_test() {
    auto name = (std::filesystem::temp_directory_path() / "pawl-config-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    directory_ = name;
    request_.path = directory_ / "pawl.toml";
  }

  ~configuration_test() override { std::filesystem::remove_all(directory_); }

  void file(std::string_view text) { std::ofstream(*request_.path, std::ios::binary) << text; }
  void variable(std::string name, std::string value) {
    request_.environment.emplace_back(std::move(name), std::move(value));
  }
  void flag(std::string text) { request_.flags.push_back(std::move(text)); }

  loaded good(const setting_table& table = pawl_settings()) const {
    auto configuration = load(request_, table);
    if (!configuration) throw std::runtime_error("refused: " + configuration.error().front().text());
    return std::move(configuration).value();
  }

  problems wrong(const setting_table& table = pawl_settings()) const {
    auto configuration = load(request_, table);
    if (configuration) throw std::runtime_error("accepted what is wrong");
    return std::move(configuration).error();
  }

  // The only problem, as people see it, without the directory of the test.
  std::string wrong_text(const setting_table& table = pawl_settings()) const {
    const auto found = wrong(table);
    EXPECT_EQ(found.size(), 1U);
    return without_directory(found.front().text());
  }

  std::string without_directory(std::string text) const {
    const auto prefix = directory_.string() + "/";
    for (auto at = text.find(prefix); at != std::string::npos; at = text.find(prefix)) text.erase(at, prefix.size());
    return text;
  }

  std::filesystem::path directory_;
  load_request request_;
};

}  // namespace pawl::config
