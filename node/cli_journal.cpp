// journal: the records of a partition as every reader folds them. docs/journal.md says what they are.
#include "broker/journal_audit.hpp"
#include "broker/kafka_client.hpp"
#include "config/setting.hpp"
#include "node/cli.hpp"
#include "node/json_codec.hpp"
#include "node/present.hpp"
#include "node/settings_map.hpp"

#include <chrono>

namespace pawl::node {
namespace {

using namespace std::chrono_literals;
using state = broker::audited_record::state;

constexpr auto patience = 15'000ms;

json event_json(const store::event_row& e) {
  json out{{"seq", e.seq}, {"kind", std::string(to_text(e.kind))}};
  if (!e.step.empty()) out["step"] = config::printable(e.step);
  if (e.attempt > 0) out["attempt"] = e.attempt;
  if (e.undo) out["undo"] = true;
  return out;
}

json change_json(const store::run_change& c) {
  json out{{"run_key", c.key}};
  if (c.created) {
    out["workflow_id"] = config::printable(c.created->workflow_id);
    out["run"] = c.created->run;
    out["run_uid"] = to_text(c.created->uid);
    out["type"] = config::printable(c.created->type);
  }
  json events = json::array();
  for (const auto& e : c.events) events.push_back(event_json(e));
  out["events"] = std::move(events);
  out["last_seq"] = c.last_seq;
  return out;
}

json batch_json(const broker::batch& b) {
  json runs = json::array(), outcomes = json::array();
  for (const auto& c : b.changes.runs) runs.push_back(change_json(c));
  for (const auto& o : b.changes.outcomes)
    outcomes.push_back({{"workflow_id", config::printable(o.workflow_id)},
                        {"command_id", config::printable(o.command_id)},
                        {"result", std::string(to_text(o.outcome.result))}});
  json out{
      {"position", b.position}, {"feed", b.feed.offset}, {"runs", std::move(runs)}, {"outcomes", std::move(outcomes)}};
  out["heartbeats"] = b.changes.heartbeats.size();
  const auto& o = b.changes.outbox;
  json messages = json::array(), acknowledged = json::array(), received = json::array();
  for (const auto& m : o.messages)
    messages.push_back({{"to", m.to}, {"number", m.number}, {"bytes", m.message.size()}});
  for (const auto& a : o.acknowledged) acknowledged.push_back({{"to", a.to}, {"below", a.below}});
  for (const auto& m : o.received) received.push_back({{"from", m.from}, {"number", m.number}});
  out["outbox"] = std::move(messages);
  out["acknowledged"] = std::move(acknowledged);
  out["received"] = std::move(received);
  json marks = json::array();
  for (const auto& m : b.changes.marks)
    marks.push_back({{"type", config::printable(m.type)},
                     {"version", m.version},
                     {"revision", m.revision},
                     {"command_id", config::printable(m.by)}});
  if (!marks.empty()) out["marks"] = std::move(marks);
  return out;
}

json record_json(const broker::audited_record& r) {
  json out{{"offset", r.offset}, {"bytes", r.bytes}, {"state", std::string(text(r.what))}};
  if (!r.why.empty()) out["why"] = config::printable(r.why);
  if (r.what == state::garbage || r.what == state::newer) return out;
  const auto& s = r.record.stamp;
  out["kind"] = std::string(text(s.kind));
  out["epoch"] = s.epoch;
  out["reign"] = to_text(s.reign);
  out["seq"] = s.seq;
  out["crc"] = r.record.crc;
  if (s.kind == broker::record_kind::announcement)
    out["node"] = {{"id", config::printable(r.record.announced.node_id)},
                   {"incarnation", std::to_string(r.record.announced.incarnation)},
                   {"reads_format", r.record.announced.reads_format}};
  if (s.kind == broker::record_kind::batch) out.update(batch_json(r.record.batch));
  return out;
}

std::string counted(std::size_t n, const char* what) {
  return n == 0 ? "" : " " + std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

/// One line for people.
std::string record_line(const broker::audited_record& r) {
  std::string out = std::to_string(r.offset) + "  " + std::string(text(r.what));
  if (r.what != state::garbage && r.what != state::newer) {
    const auto& s = r.record.stamp;
    out += "  " + std::string(text(s.kind)) + " " + std::to_string(s.epoch) + "/" + std::to_string(s.seq);
    if (s.kind == broker::record_kind::announcement)
      out += "  node " + config::printable(r.record.announced.node_id) + ", reign " + to_text(s.reign);
    if (s.kind == broker::record_kind::batch) {
      const auto& c = r.record.batch.changes;
      std::size_t events = 0;
      for (const auto& run : c.runs) events += run.events.size();
      out += " " + counted(c.runs.size(), "run") + counted(events, "event") + counted(c.outcomes.size(), "outcome") +
             counted(c.heartbeats.size(), "heartbeat") + counted(c.outbox.messages.size(), "message") +
             counted(c.marks.size(), "mark");
      if (r.record.batch.position >= 0) out += "  commands below " + std::to_string(r.record.batch.position);
    }
  }
  if (!r.why.empty()) out += "  (" + config::printable(r.why) + ")";
  return out + "\n";
}

/// Every message from the first to where the topic ends now; f returns false to stop.
template <class F>
broker::kafka_reader::range walk(broker::kafka_reader& reader, F f) {
  const auto log = reader.offsets(patience);
  auto next = log.first;
  if (next >= log.end) return log;
  reader.seek(next);
  auto deadline = std::chrono::steady_clock::now() + patience;
  while (next < log.end && std::chrono::steady_clock::now() < deadline) {
    const auto* m = reader.next(100ms);
    if (m == nullptr) continue;
    if (m->offset >= log.end || !f(*m)) break;
    next = m->offset + 1;
    deadline = std::chrono::steady_clock::now() + patience;
  }
  return log;
}

command_result dump(const cli_context& c, broker::kafka_reader& reader, const journal_args& args) {
  broker::journal_audit audit(reader.offsets(patience).first);
  std::uint64_t shown = 0;
  walk(reader, [&](const broker::kafka_message& m) {
    const auto r = audit.read(m.offset, m.value);
    if (r.offset < args.from) return true;
    if (c.wants_json())
      say(to_text(record_json(r)) + "\n");
    else
      say(record_line(r));
    ++shown;
    return r.what != state::newer && (args.limit == 0 || shown < args.limit);
  });
  return exit_code::ok;
}

command_result check(const cli_context& c, broker::kafka_reader& reader) {
  const auto first = reader.offsets(patience).first;
  broker::journal_audit audit(first);
  const auto log =
      walk(reader, [&](const broker::kafka_message& m) { return audit.read(m.offset, m.value).what != state::newer; });
  audit.finish(log.end);
  const auto& n = audit.counts();
  if (c.wants_json()) {
    say_json({{"clean", n.findings == 0},
              {"first", first},
              {"end", log.end},
              {"records", n.records},
              {"counted", n.counted},
              {"skipped", n.skipped},
              {"garbage", n.garbage},
              {"unknown", n.unknown},
              {"announcements", n.announcements},
              {"runs", n.runs},
              {"events", n.events},
              {"epoch", audit.folded().epoch},
              {"findings", audit.findings()},
              {"found", n.findings}});
  } else {
    say(reader.name() + ": checked" + (n.records == 0 ? " no records" : counted(n.records, "record")) +
        " from offset " + std::to_string(first) + " to " + std::to_string(log.end) + ":" + counted(n.runs, "run") +
        counted(n.events, "event") + " in epoch " + std::to_string(audit.folded().epoch) + "; " +
        std::to_string(n.skipped) + " skipped, " + std::to_string(n.garbage) + " no records of ours" +
        (n.unknown > 0 ? ", " + std::to_string(n.unknown) + " before the first announcement that is kept" : "") + "\n");
    for (const auto& f : audit.findings()) say("wrong: " + config::printable(f) + "\n");
    if (n.findings > audit.findings().size()) say("... and " + std::to_string(n.findings) + " in all\n");
  }
  return n.findings == 0 ? exit_code::ok : exit_code::failed;
}

}  // namespace

command_result read_journal(const cli_context& c, const journal_args& args) {
  const auto& settings = c.settings();
  if (settings.kafka.brokers.empty()) return no_brokers_error();
  try {
    broker::kafka_reader reader(to_kafka_options(settings), settings.kafka.name_space + ".journal", args.partition);
    return args.what == journal_args::action::dump ? dump(c, reader, args) : check(c, reader);
  } catch (const broker::kafka_error& e) {
    return to_cli_error(e, "`" + c.global.program + " topics check` says whether the topics are there");
  }
}

}  // namespace pawl::node
