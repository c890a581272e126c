// Which version new runs of a type get: the partition that decides it (that of the type's name) gives each mark a
// revision, and sends it to all others in the batch that records it.
#include "actors/partition_actor.hpp"

namespace pawl::actors {

namespace {

constexpr auto unavailable_retry = std::chrono::milliseconds(1000);
/// A mark is of no workflow: its outcome is kept under this id, which none can have.
const std::string no_workflow;

}  // namespace

void partition_state::on_use_version(std::shared_ptr<use_request>& r) {
  const auto refuse = [&](std::string why) {
    command_reply reply;
    reply.state = command_reply::status::unavailable;
    reply.message = std::move(why);
    reply.retry_after = unavailable_retry;
    r->reply.answer(reply);
  };
  if (away_ || node_.draining)
    return refuse(node_.draining ? "the node is stopping" : "the journal is away: " + trouble_);
  std::optional<engine::outcome> known;
  try {
    known = known_use(r->command_id);
  } catch (const store::view_error& e) {
    return refuse(e.what());
  }
  auto d = std::make_shared<decided>();
  d->generation = generation_;
  d->reply = std::move(r->reply);
  if (known) {
    known->result = engine::command_result::duplicate;
    d->answer.outcome = std::move(*known);
    d->committed = [](std::shared_ptr<decided> done) { done->reply.answer(done->answer); };
  } else {
    record_mark(*r, *d);
    if (!r->command_id.empty()) note_answering(no_workflow, r->command_id, d);
  }
  node_.commits->submit(std::move(d));
}

std::optional<engine::outcome> partition_state::known_use(const std::string& command_id) const {
  if (command_id.empty()) return std::nullopt;
  if (const auto it = answering_.find({no_workflow, command_id}); it != answering_.end())
    if (const auto d = it->second.lock()) return d->answer.outcome;
  if (auto row = node_.views.borrow()->outcome(no_workflow, command_id)) return std::move(row->outcome);
  return std::nullopt;
}

void partition_state::record_mark(const use_request& r, decided& d) {
  auto& newest = marking_[r.type];
  if (const auto known = node_.marks.find(r.type)) newest = std::max(newest, known->revision);
  engine::type_mark mark{.type = r.type,
                         .version = r.version,
                         .revision = ++newest,
                         .at = engine::to_micros(node_.time.now()),
                         .by = r.command_id};
  d.answer.outcome = {.result = engine::command_result::applied, .seq = mark.revision, .message = {}};
  if (!r.command_id.empty())
    d.outcomes.push_back(
        {.command_id = r.command_id, .workflow_id = no_workflow, .outcome = d.answer.outcome, .at = mark.at});
  if (node_.pack_mark) d.messages = node_.pack_mark(mark);
  for (const auto& m : d.messages) d.bytes += m.message.size();
  d.bytes += mark.type.size() + 64;
  d.marks.push_back(mark);
  // The queue, whose thread this is called on, is a part of the node's.
  d.committed = [node = &node_, mark](std::shared_ptr<decided> done) {
    node->marks.put(mark);
    done->reply.answer(done->answer);
  };
}

// What a failed commit has written after all is read from the view. Where that fails now it is tried again.
void partition_state::read_marks() {
  try {
    node_.marks.put(node_.views.borrow()->type_marks());
    marks_unread_ = false;
  } catch (const store::view_error& e) {
    marks_unread_ = true;
    node_.log(log_level::error, std::string("cannot read which versions are marked: ") + e.what());
  }
}

}  // namespace pawl::actors
