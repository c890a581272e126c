// All of the public API.
#pragma once

#include <pawl/client.hpp>
#include <pawl/code_errors.hpp>
#include <pawl/codec.hpp>
#include <pawl/errors.hpp>
#include <pawl/fields.hpp>
#include <pawl/options.hpp>
#include <pawl/registry.hpp>
#include <pawl/run.hpp>
#include <pawl/schema.hpp>
#include <pawl/step_context.hpp>
#include <pawl/unchecked.hpp>
#include <pawl/workflow.hpp>
#if !defined(__GNUC__) || defined(__clang__)  // durable code: see pawl/task.hpp
#include <pawl/combinators.hpp>
#include <pawl/query.hpp>
#include <pawl/task.hpp>
#include <pawl/update.hpp>
#include <pawl/workflow_context.hpp>
#endif
