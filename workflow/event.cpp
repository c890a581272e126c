#include "workflow/event.hpp"

#include <algorithm>

#include "workflow/command.hpp"

namespace pawl::engine {

namespace {

// Not in the middle of a UTF-8 character.
void cut_text(std::string& text, std::size_t size) {
  if (text.size() <= size) return;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0U) == 0x80U) --size;
  text.resize(size);
}

}  // namespace

failure cut(failure f) {
  cut_text(f.message, failure_message_limit);
  cut_text(f.code, 128);
  if (f.retry_in) f.retry_in = std::clamp(*f.retry_in, milliseconds{0}, longest_asked_delay);
  return f;
}

std::string_view to_text(event_kind kind) {
  switch (kind) {
    case event_kind::run_started:
      return "run_started";
    case event_kind::step_scheduled:
      return "step_scheduled";
    case event_kind::attempt_started:
      return "attempt_started";
    case event_kind::attempt_completed:
      return "attempt_completed";
    case event_kind::attempt_failed:
      return "attempt_failed";
    case event_kind::attempt_timed_out:
      return "attempt_timed_out";
    case event_kind::attempt_lost:
      return "attempt_lost";
    case event_kind::attempt_interrupted:
      return "attempt_interrupted";
    case event_kind::attempt_not_begun:
      return "attempt_not_begun";
    case event_kind::step_exhausted:
      return "step_exhausted";
    case event_kind::step_skipped:
      return "step_skipped";
    case event_kind::cancel_requested:
      return "cancel_requested";
    case event_kind::deadline_passed:
      return "deadline_passed";
    case event_kind::compensation_started:
      return "compensation_started";
    case event_kind::run_paused:
      return "run_paused";
    case event_kind::run_resumed:
      return "run_resumed";
    case event_kind::waiting_for_code:
      return "waiting_for_code";
    case event_kind::code_found:
      return "code_found";
    case event_kind::history_warning:
      return "history_warning";
    case event_kind::run_completed:
      return "run_completed";
    case event_kind::run_failed:
      return "run_failed";
    case event_kind::run_cancelled:
      return "run_cancelled";
    case event_kind::run_killed:
      return "run_killed";
    case event_kind::step_failed:
      return "step_failed";
    case event_kind::step_abandoned:
      return "step_abandoned";
    case event_kind::code_failed:
      return "code_failed";
    case event_kind::timer_started:
      return "timer_started";
    case event_kind::timer_fired:
      return "timer_fired";
    case event_kind::timer_cancelled:
      return "timer_cancelled";
    case event_kind::signal_received:
      return "signal_received";
    case event_kind::status_published:
      return "status_published";
    case event_kind::child_asked:
      return "child_asked";
    case event_kind::child_ended:
      return "child_ended";
    case event_kind::child_dropped:
      return "child_dropped";
    case event_kind::signal_sent:
      return "signal_sent";
    case event_kind::signal_answered:
      return "signal_answered";
    case event_kind::run_continued:
      return "run_continued";
    case event_kind::change_noted:
      return "change_noted";
    case event_kind::run_reset:
      return "run_reset";
    case event_kind::update_received:
      return "update_received";
    case event_kind::update_answered:
      return "update_answered";
  }
  return "unknown";
}

bool is_known(event_kind kind) { return to_text(kind) != "unknown"; }

std::string_view to_text(child_policy p) {
  switch (p) {
    case child_policy::cancel:
      return "cancel";
    case child_policy::kill:
      return "kill";
    case child_policy::abandon:
      return "abandon";
  }
  return "unknown";
}

std::string_view to_text(origin_kind k) {
  switch (k) {
    case origin_kind::continued:
      return "continued";
    case origin_kind::reset:
      return "reset";
    case origin_kind::forked:
      return "forked";
  }
  return "unknown";
}

std::string_view to_text(call_end e) {
  switch (e) {
    case call_end::completed:
      return "completed";
    case call_end::failed:
      return "failed";
    case call_end::cancelled:
      return "cancelled";
    case call_end::killed:
      return "killed";
    case call_end::refused:
      return "refused";
    case call_end::accepted:
      return "accepted";
  }
  return "unknown";
}

std::string_view to_text(command_result r) {
  switch (r) {
    case command_result::applied:
      return "applied";
    case command_result::duplicate:
      return "duplicate";
    case command_result::conflict:
      return "conflict";
    case command_result::not_found:
      return "not_found";
    case command_result::invalid:
      return "invalid";
    case command_result::too_large:
      return "too_large";
    case command_result::late:
      return "late";
    case command_result::ignored:
      return "ignored";
  }
  return "unknown";
}

}  // namespace pawl::engine
