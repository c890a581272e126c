// An optional that keeps its value apart: for what is large and mostly not there.
#pragma once

#include <memory>
#include <optional>
#include <utility>

namespace pawl::engine {

/// Like std::optional, at the size of a pointer: copies are deep, comparison is by value. A value costs an allocation.
template <class T>
class boxed {
 public:
  boxed() = default;
  boxed(std::nullopt_t) {}                // NOLINT(google-explicit-constructor): as std::optional
  boxed(T value) : at_(std::make_unique<T>(std::move(value))) {}  // NOLINT(google-explicit-constructor)
  boxed(const boxed& other) : at_(other.at_ ? std::make_unique<T>(*other.at_) : nullptr) {}
  boxed(boxed&&) noexcept = default;
  boxed& operator=(const boxed& other) {
    if (this != &other) at_ = other.at_ ? std::make_unique<T>(*other.at_) : nullptr;
    return *this;
  }
  boxed& operator=(boxed&&) noexcept = default;
  ~boxed() = default;

  explicit operator bool() const { return at_ != nullptr; }
  bool has_value() const { return at_ != nullptr; }
  T& operator*() { return *at_; }
  const T& operator*() const { return *at_; }
  T* operator->() { return at_.get(); }
  const T* operator->() const { return at_.get(); }
  T& emplace() {
    at_ = std::make_unique<T>();
    return *at_;
  }
  void reset() { at_.reset(); }

  bool operator==(const boxed& other) const { return (at_ && other.at_) ? *at_ == *other.at_ : at_ == other.at_; }

 private:
  std::unique_ptr<T> at_;
};

}  // namespace pawl::engine
