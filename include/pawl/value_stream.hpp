// The msgpack of one value, written and read piece by piece: what pawl/codec.hpp stands on. Users do not include this.
// The members are in workflow/value_codec.cpp, so that users compile no msgpack.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pawl/errors.hpp>

namespace pawl::detail {

/// Deepest nesting of values, in encoding and decoding.
inline constexpr int max_depth = 64;

/// Appends msgpack. Every member throws codec_error where msgpack has no room for the value.
class encoder {
 public:
  encoder() { out_.reserve(112); }
  void nil();
  void boolean(bool value);
  void signed_integer(std::int64_t value);
  void unsigned_integer(std::uint64_t value);
  void floating(float value);
  void floating(double value);
  void string(std::string_view value);
  void binary(std::string_view value);
  void list(std::size_t size);  ///< `size` values follow, then leave()
  void map(std::size_t size);   ///< `size` keys and values follow, then leave()
  void leave() { --depth_; }
  void raw(std::string_view msgpack);  ///< checked to be one value
  std::string take() && { return std::move(out_); }

 private:
  void enter();
  std::string out_;
  int depth_ = 0;
};

/// Reads msgpack from the front. Every member throws codec_error, with the path, when the next value is not what is
/// asked. Views point into the input.
class decoder {
 public:
  /// Where in the value the decoder is; lives on the stack for as long as that part is read.
  class place {
   public:
    place(decoder& d, std::string_view name) : place(d, name, 0) {}
    place(decoder& d, std::size_t index) : place(d, {}, index) {}
    place(const place&) = delete;
    place& operator=(const place&) = delete;
    ~place() {
      decoder_.place_ = outer_;
      --decoder_.depth_;
    }

   private:
    friend class decoder;
    place(decoder& d, std::string_view name, std::size_t index)
        : decoder_(d),
          outer_(d.place_),
          name_(name),
          index_(index) {
      if (d.depth_ >= max_depth) d.fail("nested more than 64 levels deep");
      ++d.depth_;
      d.place_ = this;
    }
    decoder& decoder_;
    const place* outer_;
    std::string_view name_;  // empty: an index
    std::size_t index_;
  };

  /// `depth`: how deep the value is nested already.
  decoder(std::string_view encoded, std::string_view root_name, int depth = 0)
      : at_(encoded.data()),
        end_(encoded.data() + encoded.size()),
        root_(root_name),
        depth_(depth) {}
  bool try_nil();  ///< true: there was a nil, and it is read
  void nil();
  bool boolean();
  std::int64_t signed_integer(int bits = 64);
  std::uint64_t unsigned_integer(int bits = 64);
  float floating32();
  double floating64();
  std::string_view string();
  std::string_view binary();
  std::size_t list();  ///< how many values follow; never more than there are bytes left
  void list(std::size_t size);
  std::size_t map();        ///< how many keys and values follow
  std::string_view skip();  ///< the bytes of the next value, whatever it is
  void finish();            ///< there must be nothing left
  std::size_t left() const { return static_cast<std::size_t>(end_ - at_); }
  [[noreturn]] void fail(std::string_view what) const;

 private:
  struct number;
  std::uint8_t head();
  std::uint64_t big_endian(int size);
  std::size_t length(int size);
  std::string_view take(std::size_t size);
  number any_number();
  [[noreturn]] void unexpected(std::string_view wanted, std::uint8_t got) const;
  [[noreturn]] void out_of_range(const number& n, int bits, bool is_signed) const;
  void skip_one(int depth);

  const char* at_;
  const char* end_;
  std::string_view root_;
  const place* place_ = nullptr;
  int depth_;
};

/// The index of `key`, looking at `expected` first; `names.size()` when there is none.
std::size_t find_name(const std::string_view* names, std::size_t size, std::string_view key, std::size_t expected);
struct map_entry {
  std::string_view key;
  const void* value;
};
void sort_by_key(std::vector<map_entry>& entries);
[[noreturn]] void fail_enum(const decoder& d, std::string_view got, const std::string_view* names, std::size_t size);

}  // namespace pawl::detail
