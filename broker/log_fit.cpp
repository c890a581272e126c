#include "broker/log_fit.hpp"

#include "broker/journal_codec.hpp"
#include "store/errors.hpp"

namespace pawl::broker {

namespace {

using namespace std::chrono_literals;

constexpr auto read_wait = 100ms;
constexpr auto longest_wait = 30s;

}  // namespace

std::string misfit(kafka_reader& reader, const kafka_reader::range& log, const store::log_position& p) {
  const auto stands = "it stands at offset " + std::to_string(p.at.offset);
  // Also where the log would go on just behind it: that record cannot be looked at, and the trim leaves it to whoever
  // is waited for.
  if (p.at.offset < log.first) return stands + ", the log begins at " + std::to_string(log.first);
  if (p.at.offset >= log.end) return stands + ", the log ends at " + std::to_string(log.end);
  reader.seek(p.at.offset);
  const auto deadline = std::chrono::steady_clock::now() + longest_wait;
  const kafka_message* m = nullptr;
  while ((m = reader.next(read_wait)) == nullptr)
    if (std::chrono::steady_clock::now() > deadline)
      throw store::store_error(reader.name() + ": offset " + std::to_string(p.at.offset) + " cannot be read");
  journal_record found;
  std::string wrong;
  if (m->offset != p.at.offset || decode_stamp(m->value, found, wrong) != readable::yes || found.crc != p.crc ||
      found.stamp.epoch != p.at.epoch || found.stamp.reign != p.at.reign || found.stamp.seq != p.at.seq)
    return "another record is at offset " + std::to_string(p.at.offset) + " than it was made from";
  return {};
}

}  // namespace pawl::broker
