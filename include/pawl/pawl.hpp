// All of the public API.
#pragma once

#include <pawl/codec.hpp>
#include <pawl/errors.hpp>
#include <pawl/fields.hpp>
#include <pawl/options.hpp>
#include <pawl/registry.hpp>
#include <pawl/run.hpp>
#include <pawl/schema.hpp>
#include <pawl/step_context.hpp>
#include <pawl/workflow.hpp>
