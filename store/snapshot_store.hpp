// Where snapshots and their segments are kept: immutable blobs with names, which all nodes see. A directory that they
// share is one (snapshot_directory.hpp); an object store could be another. docs/snapshots.md has the names.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pawl::store {

/// Thread-safe; what it gives out belongs to one thread. Every call may throw store_error, which names the blob.
class snapshot_store {
 public:
  virtual ~snapshot_store() = default;

  struct blob {
    std::string name;  ///< "p0/00000000000000000042-0a1b2c3d.snapshot"
    std::uint64_t bytes = 0;
    std::chrono::seconds age{0};  ///< since it was last written to; clocks may differ by minutes
  };
  struct checksum {
    std::uint64_t bytes = 0;
    std::uint32_t crc = 0;  ///< CRC-32, as in zlib
    bool operator==(const checksum&) const = default;
  };

  /// A blob that is being written. Nobody sees it before finish(); one that is not finished is thrown away.
  class upload {
   public:
    virtual ~upload() = default;
    virtual void write(std::string_view bytes) = 0;
    /// Makes it durable, reads it back, compares, and only then gives it its name.
    virtual checksum finish() = 0;
  };
  class download {
   public:
    virtual ~download() = default;
    /// At most `most` bytes; 0: that was all.
    virtual std::size_t read(char* to, std::size_t most) = 0;
  };

  /// One that has the name already is replaced, whole, by finish().
  virtual std::unique_ptr<upload> put(const std::string& name) = 0;
  virtual std::unique_ptr<download> get(const std::string& name) = 0;
  /// Everything in a folder ("p0"), what is being written too; in no order. One that is not there is empty.
  virtual std::vector<blob> list(const std::string& folder) = 0;
  /// One that is not there is no error.
  virtual void remove(const std::string& name) = 0;
  /// What people call it, for errors: a path, an address.
  virtual std::string where() const = 0;
};

}  // namespace pawl::store
