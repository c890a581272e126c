// For tests whose own code is optimised too.
#pragma once

#include "cmake/precompiled/test.hpp"
