// A store on the file layer that fails on demand, which is as new for each test.
#pragma once

#include "tests/store/fault_vfs.hpp"
#include "tests/store/fixture.hpp"

namespace pawl::store {

class store_on_faults : public store_test {
 protected:
  store_on_faults() { fault_vfs::get().forget(); }
  ~store_on_faults() override {
    close();
    fault_vfs::get().disarm();
    fault_vfs::get().forget();
  }
};

}  // namespace pawl::store
