// Tests of actors/.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <caf/all.hpp>

#include "cmake/precompiled/standard.hpp"
