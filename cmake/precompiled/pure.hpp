// config/, workflow/, store/.
#pragma once

#include "cmake/precompiled/standard.hpp"
