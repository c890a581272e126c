#include "broker/journal_tail.hpp"

#include "broker/journal_codec.hpp"

namespace pawl::broker {

namespace {

constexpr std::chrono::milliseconds read_wait{100};
/// One append is under way at a time; the others are those of somebody else.
constexpr std::size_t most_read_ahead = 64;

}  // namespace

void journal_tail::start(std::int64_t from, std::uint64_t epoch) {
  stop();
  {
    const std::lock_guard lock(mutex_);
    epoch_ = epoch;
    read_back_ = from;
    doubt_.clear();
    expected_.clear();
    read_ahead_.clear();
  }
  thread_ = std::jthread([this, from](const std::stop_token& stop) { run(stop, from); });
}

void journal_tail::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

void journal_tail::run(const std::stop_token& stop, std::int64_t from) {
  try {
    kafka_reader back(client_, topic_, partition_, kafka_reader::answers::in_bulk);
    back.seek(from);
    auto next = from;
    while (!stop.stop_requested()) {
      const auto* m = back.next(read_wait);
      if (m == nullptr) continue;
      if (m->offset != next)
        return doubt("offsets from " + std::to_string(next) + " on are missing in the log (journal_diverged)");
      next = m->offset + 1;
      if (!check(*m)) return;
    }
  } catch (const std::exception& e) {
    doubt(std::string("the journal cannot be read back (journal_diverged): ") + e.what());
  }
}

// Whether what was acknowledged is what is there. False: it is not, or somebody else leads.
bool journal_tail::check(const kafka_message& m) {
  journal_record found;
  std::string wrong;
  const bool record = decode_stamp(m.value, found, wrong) == readable::yes;
  const std::lock_guard lock(mutex_);
  read_back_ = m.offset + 1;
  if (record && found.stamp.kind == record_kind::announcement && found.stamp.epoch > epoch_) {
    doubt_ = "another node announced itself under epoch " + std::to_string(found.stamp.epoch);
    return false;
  }
  if (!expected_.empty() && expected_.front().offset <= m.offset) {
    const auto own = expected_.front();
    expected_.pop_front();
    return is_back(own, {m.offset, record ? found.crc : 0});
  }
  read_ahead_.push_back({m.offset, record ? found.crc : 0});
  if (read_ahead_.size() > most_read_ahead) read_ahead_.pop_front();
  return true;
}

// Under the mutex.
bool journal_tail::is_back(const own_record& own, const own_record& found) {
  if (own.offset == found.offset && own.crc == found.crc) return true;
  doubt_ = "the log does not hold at offset " + std::to_string(own.offset) +
           " what it acknowledged there (journal_diverged): its tail was lost";
  return false;
}

void journal_tail::expect(own_record own) {
  const std::lock_guard lock(mutex_);
  while (!read_ahead_.empty() && read_ahead_.front().offset < own.offset) read_ahead_.pop_front();
  if (read_back_ <= own.offset) {
    expected_.push_back(own);
    if (expected_.size() > longest)
      doubt_ = "what was acknowledged is not read back: the readers of the journal stand still";
  } else if (!read_ahead_.empty()) {
    is_back(own, read_ahead_.front());
  }
}

void journal_tail::doubt(std::string why) {
  const std::lock_guard lock(mutex_);
  doubt_ = std::move(why);
}

std::string journal_tail::doubts() const {
  const std::lock_guard lock(mutex_);
  return doubt_;
}

std::int64_t journal_tail::read_back() const {
  const std::lock_guard lock(mutex_);
  return read_back_;
}

}  // namespace pawl::broker
