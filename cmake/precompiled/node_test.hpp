// Tests of what stands on CAF, and do not include it.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cmake/precompiled/standard.hpp"
