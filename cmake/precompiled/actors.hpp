// actors/.
#pragma once

#include <caf/all.hpp>

#include "cmake/precompiled/standard.hpp"
