#include "broker/dead_letters.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "broker/outbox_desk.hpp"
#include "broker/partitioner.hpp"
#include "broker/topics.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;

constexpr auto patience = 15'000ms;
/// The last offsets of a partition may hold no message: nothing more comes is its end too.
constexpr auto quiet_end = 1'000ms;

constexpr std::array<std::string_view, 5> own_headers{"pawl-from", "pawl-cause", "pawl-detail", "pawl-at", "pawl-cut"};
constexpr std::string_view mark_header = "pawl-mark";
constexpr std::string_view of_header = "pawl-of";

std::string now_text() {
  const auto now = std::chrono::system_clock::now();
  const auto seconds = std::chrono::system_clock::to_time_t(now);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() % 1000;
  std::tm t{};
  ::gmtime_r(&seconds, &t);
  std::array<char, 32> text{};
  const auto size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &t);
  const auto digits = std::to_string(1000 + ms);
  return std::string(text.data(), size) + "." + digits.substr(1) + "Z";
}

/// Not within a character of UTF-8, if it is that.
std::string cut(std::string text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0U) == 0x80) --most;
  text.resize(most);
  return text;
}

bool is_own(std::string_view name) {
  const auto lower = lower_case(name);
  return std::find(own_headers.begin(), own_headers.end(), lower) != own_headers.end() || lower == mark_header ||
         lower == of_header;
}

/// A message that says what was done about a letter.
struct letter_mark {
  std::int64_t of = -1;
  dead_letter::state what = dead_letter::state::open;
};
std::optional<letter_mark> as_mark(const message_headers& headers) {
  const auto* what = find_header(headers, mark_header);
  const auto* of = find_header(headers, of_header);
  if (what == nullptr || of == nullptr) return std::nullopt;
  letter_mark m;
  const auto r = std::from_chars(of->data(), of->data() + of->size(), m.of);
  if (r.ec != std::errc() || r.ptr != of->data() + of->size()) return std::nullopt;
  for (const auto s : {dead_letter::state::replayed, dead_letter::state::dropped})
    if (*what == text(s)) m.what = s;
  return m.what == dead_letter::state::open ? std::nullopt : std::optional(m);
}

message_headers copy_of(const kafka_reader& reader) {
  message_headers out;
  for (const auto& [name, value] : reader.headers()) out.emplace_back(name, value);
  return out;
}

}  // namespace

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

const std::string* find_header(const message_headers& headers, std::string_view name) {
  for (const auto& [n, value] : headers)
    if (lower_case(n) == name) return &value;
  return nullptr;
}

dead_letter_parts make_dead_letter(const std::optional<std::string>& key, const std::string& value,
                                   const message_headers& headers, const dead_cause& why, std::size_t cut_at) {
  dead_letter_parts out;
  const auto key_size = key ? key->size() : 0;
  if (key) out.key = std::string_view(*key).substr(0, cut_at);
  out.value = std::string_view(value).substr(0, cut_at - std::min(cut_at, key_size));
  std::size_t bytes = 0;
  std::size_t left_out = 0;
  for (const auto& [name, text] : headers) {
    if (is_own(name)) continue;
    bytes += name.size() + text.size();
    // Of a topic that takes so little there is room for ours only.
    if (bytes > largest_dead_headers || cut_at == 0)
      ++left_out;
    else
      out.headers.emplace_back(name, text);
  }
  out.headers.emplace_back("pawl-from", why.from);
  out.headers.emplace_back("pawl-cause", why.cause);
  out.headers.emplace_back("pawl-detail", cut(why.detail, largest_dead_detail));
  out.headers.emplace_back("pawl-at", now_text());
  if (key_size + value.size() > cut_at || left_out > 0)
    out.headers.emplace_back(
        "pawl-cut", std::to_string(key_size) + "," + std::to_string(value.size()) + "," + std::to_string(left_out));
  return out;
}

std::string dead_letter::header(std::string_view name) const {
  const auto* found = find_header(headers, name);
  return found != nullptr ? *found : std::string();
}

std::string_view text(dead_letter::state s) {
  switch (s) {
    case dead_letter::state::open:
      return "open";
    case dead_letter::state::replayed:
      return "replayed";
    case dead_letter::state::dropped:
      return "dropped";
  }
  return "";
}

dead_letter_box::dead_letter_box(const kafka_options& client, std::string name_space)
    : client_(client),
      name_space_(std::move(name_space)),
      topic_(name_space_ + ".dlq"),
      reader_(client, topic_, 0),
      producer_(client, {.topics = {topic_, name_space_ + ".commands"}}) {}

/// Every message from there to where the topic ends now; f returns false to stop.
template <class F>
void dead_letter_box::read(std::int64_t from, F f) {
  const auto log = reader_.offsets(patience);
  auto next = std::max(from, log.first);
  if (next >= log.end) return;
  reader_.seek(next);
  auto quiet = 0ms;
  auto silent = 0ms;
  bool any = false;
  while (next < log.end && (quiet < quiet_end || !any) && silent < patience) {
    const auto* m = reader_.next(100ms);
    if (m == nullptr) {
      quiet += 100ms;
      silent += 100ms;
      continue;
    }
    quiet = silent = 0ms;
    any = true;
    if (m->offset >= log.end || !f(*m)) return;
    next = m->offset + 1;
  }
  if (!any) throw make_kafka_error("reading " + topic_, RD_KAFKA_RESP_ERR__TIMED_OUT);
}

std::vector<dead_letter> dead_letter_box::newest(std::size_t limit, bool closed_too) {
  const auto log = reader_.offsets(patience);
  // A mark is behind its letter, so that whatever is read to the end is known with its marks.
  for (auto window = static_cast<std::int64_t>(limit);; window *= 4) {
    const auto from = std::max(log.first, log.end - window);
    std::map<std::int64_t, dead_letter> found;
    read(from, [&](const kafka_message& m) {
      auto headers = copy_of(reader_);
      if (const auto mark = as_mark(headers)) {
        if (const auto it = found.find(mark->of); it != found.end()) it->second.what = mark->what;
        return true;
      }
      auto& d = found[m.offset];
      d = {.offset = m.offset, .timestamp_ms = m.timestamp_ms, .key = {}, .value = {}, .headers = std::move(headers)};
      if (m.has_key) d.key = std::string(m.key);
      return true;
    });
    std::vector<dead_letter> out;
    for (auto it = found.rbegin(); it != found.rend() && out.size() < limit; ++it)
      if (closed_too || it->second.what == dead_letter::state::open) out.push_back(std::move(it->second));
    if (out.size() == limit || from == log.first) return out;
  }
}

std::optional<dead_letter> dead_letter_box::find(std::int64_t offset, bool with_state) {
  if (offset < reader_.offsets(patience).first) return std::nullopt;
  std::optional<dead_letter> out;
  read(offset, [&](const kafka_message& m) {
    auto headers = copy_of(reader_);
    const auto mark = as_mark(headers);
    if (out && mark && mark->of == offset) out->what = mark->what;
    if (m.offset == offset && !mark) {
      out = dead_letter{.offset = offset,
                        .timestamp_ms = m.timestamp_ms,
                        .key = {},
                        .value = std::string(m.value),
                        .headers = std::move(headers)};
      if (m.has_key) out->key = std::string(m.key);
    }
    return out.has_value() && with_state;
  });
  return out;
}

std::vector<std::int64_t> dead_letter_box::open() {
  std::set<std::int64_t> found;
  read(0, [&](const kafka_message& m) {
    if (const auto mark = as_mark(copy_of(reader_)))
      found.erase(mark->of);
    else
      found.insert(m.offset);
    return true;
  });
  return {found.begin(), found.end()};
}

std::string dead_letter_box::refuses_replay(const dead_letter& letter) const {
  const auto from = letter.header("pawl-from");
  if (!from.starts_with(name_space_ + ".commands/")) return "it does not say that it came from the commands";
  if (!letter.header("pawl-cut").empty()) return "it was too large, and is here in part only";
  if (!letter.key || letter.key->empty()) return "it has no key, so it would be a dead letter again";
  return {};
}

std::string dead_letter_box::replay(const dead_letter& letter) {
  message_headers headers;
  // It is one by itself now: as one of a partition's it would be judged by its number again.
  const auto of_outbox = [](const std::string& name) {
    const auto lower = lower_case(name);
    return lower == outbox_header || lower == stub_header;
  };
  for (const auto& [name, value] : letter.headers)
    if (!is_own(name) && !of_outbox(name)) headers.emplace_back(name, value);
  // The first time that it was given up: under that place it is one command however often it is tried.
  if (find_header(headers, origin_header) == nullptr) headers.emplace_back(origin_header, letter.header("pawl-from"));
  const auto at = produce(name_space_ + ".commands", -1, *letter.key, letter.value, headers);
  mark(letter.offset, dead_letter::state::replayed);
  return at;
}

dead_letter_box::dropped dead_letter_box::drop(const std::set<std::int64_t>& offsets) {
  auto remaining = open();
  std::erase_if(remaining, [&](std::int64_t o) { return offsets.contains(o); });
  dropped out;
  if (!remaining.empty()) out.first_open = remaining.front();
  for (const auto o : offsets) {
    const bool hidden = out.first_open >= 0 && o > out.first_open;
    (hidden ? out.hidden : out.deleted).push_back(o);
    if (hidden) mark(o, dead_letter::state::dropped);
  }
  delete_below(out.first_open >= 0 ? out.first_open : reader_.offsets(patience).end);
  return out;
}

std::size_t dead_letter_box::drop_up_to(std::int64_t offset) {
  std::size_t letters = 0;
  std::int64_t end = 0;
  read(0, [&](const kafka_message& m) {
    if (m.offset > offset) return false;
    end = m.offset + 1;
    if (!as_mark(copy_of(reader_))) ++letters;
    return true;
  });
  if (end > 0) delete_below(end);
  return letters;
}

void dead_letter_box::mark(std::int64_t offset, dead_letter::state what) {
  produce(topic_, 0, std::nullopt, {},
          {{std::string(mark_header), std::string(text(what))},
           {std::string(of_header), std::to_string(offset)},
           {"pawl-at", now_text()}});
}

void dead_letter_box::delete_below(std::int64_t offset) {
  if (offset <= reader_.offsets(patience).first) return;
  delete_records(client_, topic_, 0, offset);
}

std::string dead_letter_box::produce(const std::string& topic, std::int32_t partition,
                                     std::optional<std::string_view> key, std::string_view value,
                                     const message_headers& headers) {
  kafka_producer::headers views(headers.begin(), headers.end());
  std::optional<kafka_producer::delivery> d;
  producer_.send(topic, partition, key, value, [&d](const kafka_producer::delivery& report) { d = report; }, views);
  while (!d) producer_.poll(100ms);  // the producer gives up by itself
  if (d->code != 0) throw make_kafka_error("writing to " + topic, d->code);
  return topic + "/" + std::to_string(d->partition) + "/" + std::to_string(d->offset);
}

}  // namespace pawl::broker
