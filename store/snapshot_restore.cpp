#include "store/snapshot_restore.hpp"

#include <algorithm>
#include <map>

#include "store/errors.hpp"
#include "store/view_loader.hpp"

namespace pawl::store {

namespace {

using on_row = std::function<void(section, row)>;

// Reads to the end; `more` gets what is neither about the file nor its list of segments.
kept_snapshot read_snapshot(snapshot_store& from, const std::string& name, const on_row& more) {
  kept_snapshot out;
  out.name = name;
  section_reader in(from, name, snapshot_file::snapshot);
  bool begun = false;
  const auto take = [&](section s, row cells) {
    if (!begun && s != section::about) throw snapshot_damage(name + ": it does not begin with what it is of");
    if (s == section::about)
      out.about = get_about(cells);
    else if (s == section::segments)
      out.segments.push_back(get_segment(cells));
    else
      more(s, cells);
    begun = true;
  };
  while (in.next(take)) {
  }
  if (!begun) throw snapshot_damage(name + ": it is empty");
  out.bytes = in.read().bytes;
  return out;
}

void read_segment(snapshot_store& from, const segment_line& line, const on_row& each) {
  section_reader in(from, line.name, snapshot_file::segment);
  std::uint64_t runs = 0;
  while (in.next([&](section s, row cells) {
    if (s == section::runs) ++runs;
    each(s, cells);
  })) {
  }
  if (in.read() != line.sum || runs != line.runs)
    throw snapshot_damage(line.name + ": it is another one than the snapshot lists");
}

void check_names(const kept_snapshot& s) {
  const auto place = place_of(s.name);
  if (!place || place->offset != s.about.position.at.offset || place->crc != s.about.position.crc)
    throw snapshot_damage(s.name + ": it is of offset " + std::to_string(s.about.position.at.offset) +
                          ", and its name says otherwise");
}

// Why it is not to be used; empty: nothing is known against it.
std::string objection(const kept_snapshot& s, const snapshot_source& source) {
  if (s.about.topic != source.topic || s.about.partition != source.partition)
    return "it is of " + s.about.topic + "/" + std::to_string(s.about.partition);
  return source.misfit ? source.misfit(s.about.position) : std::string();
}

class restorer {
 public:
  restorer(snapshot_store& from, const kept_snapshot& head, view_loader& to,
           const std::function<void(const restore_progress&)>& progress)
      : from_(from),
        head_(head),
        to_(to),
        progress_(progress) {
    state_.of = head.bytes;
    for (const auto& s : head.segments) state_.of += s.sum.bytes;
  }

  log_position run() {
    const auto body = read_snapshot(from_, head_.name, [&](section s, row cells) { add(s, cells); });
    if (body.about != head_.about || body.segments != head_.segments)
      throw snapshot_damage(head_.name + ": it has changed while it was read");
    for (const auto& line : head_.segments)
      read_segment(from_, line, [&](section s, row cells) {
        if (s != section::keys) add(s, cells);
      });
    if (to_.runs() != head_.about.runs || to_.last_event_at() != head_.about.last_event_at)
      throw snapshot_damage(head_.name + ": it holds " + std::to_string(to_.runs()) + " runs, and should hold " +
                            std::to_string(head_.about.runs));
    return head_.about.position;
  }

 private:
  void add(section s, row cells) {
    to_.add(s, cells);
    if (!progress_) return;
    for (const auto& c : cells) state_.bytes += c.chars.size() + 4;
    if (state_.bytes < told_ + (std::uint64_t{1} << 20)) return;
    told_ = state_.bytes;
    state_.runs = to_.runs();
    progress_({.bytes = std::min(state_.bytes, state_.of), .of = state_.of, .runs = state_.runs});
  }

  snapshot_store& from_;
  const kept_snapshot& head_;
  view_loader& to_;
  const std::function<void(const restore_progress&)>& progress_;
  restore_progress state_;
  std::uint64_t told_ = 0;
};

}  // namespace

std::vector<std::string> list_snapshots(snapshot_store& from, std::int32_t partition) {
  std::vector<std::string> out;
  for (auto& b : from.list(snapshot_folder(partition)))
    if (place_of(b.name)) out.push_back(std::move(b.name));
  std::sort(out.rbegin(), out.rend());
  return out;
}

kept_snapshot read_head(snapshot_store& from, const std::string& name) {
  kept_snapshot out;
  out.name = name;
  section_reader in(from, name, snapshot_file::snapshot);
  bool head = true;
  while (head && in.next([&](section s, row cells) {
    if (s == section::about)
      out.about = get_about(cells);
    else if (s == section::segments)
      out.segments.push_back(get_segment(cells));
    else
      head = false;
  })) {
  }
  check_names(out);
  std::map<std::string, std::uint64_t> there;
  for (auto& b : from.list(snapshot_folder(out.about.partition))) there[b.name] = b.bytes;
  for (const auto& s : out.segments) {
    const auto it = there.find(s.name);
    if (it == there.end()) throw snapshot_damage(name + ": its segment " + s.name + " is missing");
    if (it->second != s.sum.bytes)
      throw snapshot_damage(name + ": its segment " + s.name + " has " + std::to_string(it->second) +
                            " bytes, and should have " + std::to_string(s.sum.bytes));
  }
  out.bytes = there[name];
  return out;
}

std::optional<log_position> restore_view(snapshot_store& from, const snapshot_source& source, embedded_journal& view,
                                         const std::function<void(const restore_progress&)>& progress) {
  const auto pass_over = [&](const std::string& name, const std::string& why) {
    if (source.warn) source.warn("the snapshot " + from.where() + "/" + name + " is passed over: " + why);
  };
  const auto attempt = [&](const std::string& name, auto what) {
    try {
      return what();
    } catch (const snapshot_damage& d) {
      pass_over(name, d.what());
    } catch (const store_error& e) {  // of the snapshots' store
      pass_over(name, e.what());
    }
    return decltype(what())();
  };
  for (const auto& name : list_snapshots(from, source.partition)) {
    const auto head = attempt(name, [&] { return std::optional(read_head(from, name)); });
    if (!head) continue;
    if (const auto why = objection(*head, source); !why.empty()) {
      pass_over(name, why);
      continue;
    }
    append_result r;
    const auto at = attempt(name, [&] {
      std::optional<log_position> end;
      r = view.fill([&](view_loader& to) { return *(end = restorer(from, *head, to, progress).run()); });
      return end;
    });
    if (r.status != append_status::committed) throw write_error(r);
    if (at) return at;
  }
  return std::nullopt;
}

kept_snapshot check_snapshot(snapshot_store& from, const std::string& name) {
  auto out = read_snapshot(from, name, [](section, row) {});
  check_names(out);
  return out;
}

void check_segment(snapshot_store& from, const segment_line& line, engine::run_key below, key_set& keys) {
  std::vector<engine::run_key> found;
  read_segment(from, line, [&](section s, row cells) {
    if (s == section::keys) found.push_back(cells[0].number);
  });
  const bool given_out =
      std::all_of(found.begin(), found.end(), [&](engine::run_key key) { return key > 0 && key < below; });
  if (!given_out) throw snapshot_damage(line.name + ": it has runs that the journal has not");
  if (found.size() != line.runs) throw snapshot_damage(line.name + ": it does not list the keys of its runs");
  for (const auto key : found) keys.add(key);
}

}  // namespace pawl::store
