#include "store/snapshot_codec.hpp"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "workflow/packed.hpp"

namespace pawl::store {

namespace {

using namespace engine::packed;

constexpr std::string_view snapshot_head = "pawl snapshot 1\n";
constexpr std::string_view segment_head = "pawl segment  1\n";
constexpr std::size_t head_size = 16;
static_assert(snapshot_head.size() == head_size && segment_head.size() == head_size);
/// A frame is closed when it has as many bytes.
constexpr std::size_t usual_frame = std::size_t{1} << 20;

constexpr std::array<section_shape, sections> shapes{{{"about", "tiiibiiiiiibiiiii", true},
                                                      {"segments", "tiii", true},
                                                      {"keys", "i"},
                                                      {"runs", "itibitiiiiiit"},
                                                      {"events", "iitb"},
                                                      {"heartbeats", "iiib"},
                                                      {"outcomes", "tttiti"},
                                                      {"outbox", "iitb"},
                                                      {"peers", "iiit"},
                                                      {"received", "iiit"},
                                                      {"marks", "tiiit"},
                                                      {"end", "ii", true}}};

std::uint32_t crc_of(std::string_view bytes, std::uint32_t before = 0) {
  return static_cast<std::uint32_t>(
      ::crc32(before, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

void put_big_endian(std::string& out, std::uint64_t v, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(v >> shift & 0xff));
}

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t out = 0;
  for (const char c : bytes) out = out << 8 | static_cast<unsigned char>(c);
  return out;
}

void put_cell(packer& p, const cell& c) {
  switch (c.is) {
    case cell::type::nothing:
      p.pack_nil();
      break;
    case cell::type::integer:
      p.pack_int64(c.number);
      break;
    case cell::type::text:
      put_text(p, c.chars);
      break;
    case cell::type::bytes:
      put_bin(p, c.chars);
      break;
  }
}

cell get_cell(const msgpack::object& o, char wanted) {
  if (wanted == '?' && o.is_nil()) return {};
  if (wanted == 'i' || wanted == '?') return cell::of(get_int(o));
  if (wanted == 't' && o.type == msgpack::type::STR) return cell::of_text(get_bytes(o));
  if (wanted == 'b' && o.type == msgpack::type::BIN) return cell::of_bytes(get_bytes(o));
  throw malformed{"a value is not of the kind that its column has"};
}

bool hex(std::string_view text, std::uint64_t& out) {
  const auto r = std::from_chars(text.data(), text.data() + text.size(), out, 16);
  return r.ec == std::errc{} && r.ptr == text.data() + text.size();
}

std::int64_t as_signed(std::uint64_t v) { return static_cast<std::int64_t>(v); }

std::string padded(std::int32_t partition, std::int64_t offset) {
  std::array<char, 24> digits{};
  std::snprintf(digits.data(), digits.size(), "%020lld", static_cast<long long>(offset));
  return snapshot_folder(partition) + "/" + digits.data();
}

std::string hex_digits(std::uint64_t v, int width) {
  std::array<char, 17> digits{};
  std::snprintf(digits.data(), digits.size(), "%0*llx", width, static_cast<unsigned long long>(v));
  return digits.data();
}

}  // namespace

const section_shape& shape_of(section s) { return shapes[static_cast<std::size_t>(s)]; }

// ---- writing

section_writer::section_writer(snapshot_store::upload& to, snapshot_file kind) : to_(to) {
  write(kind == snapshot_file::snapshot ? snapshot_head : segment_head);
}

void section_writer::add(section s, row cells) {
  auto& p = pending_[static_cast<std::size_t>(s)];
  const auto before = p.rows.size();
  sink out{p.rows};
  packer pack{out};
  pack.pack_array(static_cast<std::uint32_t>(cells.size()));
  for (const auto& c : cells) put_cell(pack, c);
  ++p.count;
  waiting_ += p.rows.size() - before;
  if (waiting_ >= usual_frame) flush();
}

void section_writer::flush() {
  for (std::size_t n = 0; n < sections; ++n)
    if (pending_[n].count > 0) write(static_cast<section>(n), pending_[n]);
  waiting_ = 0;
}

void section_writer::write(section s, pending& p) {
  std::string content;
  sink out{content};
  packer pack{out};
  pack.pack_array(2);
  put_text(pack, shape_of(s).name);
  pack.pack_array(p.count);
  const auto size = content.size() + p.rows.size();
  if (size > largest_frame)
    throw store_error(std::string("a row of ") + std::to_string(size) + " bytes does not fit into a snapshot");
  std::string front;
  put_big_endian(front, size, 4);
  put_big_endian(front, crc_of(p.rows, crc_of(content)), 4);
  write(front + content);
  write(p.rows);
  ++frames_;
  rows_ += p.count;
  p = {};
}

void section_writer::write(std::string_view bytes) {
  to_.write(bytes);
  bytes_ += bytes.size();
}

void section_writer::end() {
  flush();
  const std::array<cell, 2> counts{cell::of(as_signed(frames_)), cell::of(as_signed(rows_))};
  add(section::end, counts);
  flush();
}

// ---- reading

section_reader::section_reader(snapshot_store& from, const std::string& name, snapshot_file kind)
    : name_(from.where() + "/" + name),
      in_(from.get(name)) {
  const auto wanted = kind == snapshot_file::snapshot ? snapshot_head : segment_head;
  const auto head = take(head_size);
  if (head == wanted) return;
  const auto word = wanted.substr(0, wanted.size() - 3);
  if (head.substr(0, word.size()) == word)
    damaged("it has a format that this version does not read ('" + std::string(head.substr(0, head_size - 1)) +
            "'): start a newer version");
  damaged("it does not begin as one");
}

section_reader::~section_reader() = default;

void section_reader::damaged(const std::string& what) const { throw snapshot_damage(name_ + ": " + what); }

std::string_view section_reader::take(std::size_t n) {
  frame_.resize(n);
  std::size_t have = 0;
  while (have < n) {
    const auto got = in_->read(frame_.data() + have, n - have);
    if (got == 0) damaged("it ends after " + std::to_string(sum_.bytes + have) + " bytes, in the middle");
    have += got;
  }
  sum_.crc = crc_of(frame_, sum_.crc);
  sum_.bytes += n;
  return frame_;
}

section section_reader::section_called(std::string_view name) const {
  for (std::size_t n = 0; n < sections; ++n)
    if (shapes[n].name == name) return static_cast<section>(n);
  damaged("it has a section '" + std::string(name) + "' that this version does not know: start a newer version");
}

bool section_reader::next(const std::function<void(section, row)>& on_row) {
  const auto at = "the frame at byte " + std::to_string(sum_.bytes);
  const auto front = take(8);
  const auto size = big_endian(front.substr(0, 4));
  const auto crc = big_endian(front.substr(4));
  if (size == 0 || size > largest_frame) damaged(at + " has a length that no frame has");
  const auto content = take(size);
  if (crc_of(content) != crc) damaged(at + " does not have the checksum that was written with it");
  try {
    const auto handle = unpack_whole(content, "the frame");
    const auto& rows = element(handle.get(), 1);
    const auto which = section_called(get_bytes(element(handle.get(), 0)));
    const auto& shape = shape_of(which);
    std::array<cell, 32> cells;
    for (std::uint32_t n = 0; n < size_of(rows); ++n) {
      const auto& r = rows.via.array.ptr[n];
      if (size_of(r) < shape.columns.size() || (!shape.longer && size_of(r) > shape.columns.size()))
        throw malformed{"a row has another number of columns than its section"};
      for (std::uint32_t c = 0; c < shape.columns.size(); ++c) cells[c] = get_cell(element(r, c), shape.columns[c]);
      const row found(cells.data(), shape.columns.size());
      if (which == section::end) {
        end(found);
        return false;
      }
      on_row(which, found);
      ++rows_;
    }
  } catch (const malformed& m) {
    damaged(at + " cannot be read: " + m.what);
  } catch (const msgpack::unpack_error& e) {
    damaged(at + " cannot be read: " + e.what());
  }
  ++frames_;
  return true;
}

void section_reader::end(row cells) {
  if (cells[0].number != as_signed(frames_) || cells[1].number != as_signed(rows_))
    damaged("it has " + std::to_string(frames_) + " frames and " + std::to_string(rows_) + " rows, and should have " +
            std::to_string(cells[0].number) + " and " + std::to_string(cells[1].number));
  char more = 0;
  if (in_->read(&more, 1) != 0) damaged("something follows its end");
}

// ---- what the rows mean

void put_about(section_writer& to, const snapshot_about& a) {
  const auto& at = a.position.at;
  const auto& feed = a.position.feed;
  const auto reign = to_bytes(at.reign);
  const auto feed_reign = to_bytes(feed.reign);
  const std::array cells{cell::of_text(a.topic),        cell::of(a.partition),           cell::of(at.offset),
                         cell::of(as_signed(at.epoch)), cell::of_bytes(reign),           cell::of(as_signed(at.seq)),
                         cell::of(at.released ? 1 : 0), cell::of(a.position.crc),        cell::of(a.position.commands),
                         cell::of(feed.offset),         cell::of(as_signed(feed.epoch)), cell::of_bytes(feed_reign),
                         cell::of(as_signed(feed.seq)), cell::of(feed.released ? 1 : 0), cell::of(a.last_event_at),
                         cell::of(as_signed(a.runs)),   cell::of(a.written_at)};
  to.add(section::about, cells);
}

snapshot_about get_about(row c) {
  const auto point = [&](std::size_t n) {
    return log_point{.offset = c[n].number,
                     .epoch = static_cast<std::uint64_t>(c[n + 1].number),
                     .reign = reign_of(c[n + 2].chars),
                     .seq = static_cast<std::uint64_t>(c[n + 3].number),
                     .released = c[n + 4].number != 0};
  };
  return {.topic = std::string(c[0].chars),
          .partition = static_cast<std::int32_t>(c[1].number),
          .position = {.at = point(2),
                       .crc = static_cast<std::uint32_t>(c[7].number),
                       .commands = c[8].number,
                       .feed = point(9)},
          .last_event_at = c[14].number,
          .runs = static_cast<std::uint64_t>(c[15].number),
          .written_at = c[16].number};
}

void put_segment(section_writer& to, const segment_line& s) {
  const std::array cells{cell::of_text(s.name), cell::of(as_signed(s.sum.bytes)), cell::of(s.sum.crc),
                         cell::of(as_signed(s.runs))};
  to.add(section::segments, cells);
}

segment_line get_segment(row c) {
  return {.name = std::string(c[0].chars),
          .sum = {.bytes = static_cast<std::uint64_t>(c[1].number), .crc = static_cast<std::uint32_t>(c[2].number)},
          .runs = static_cast<std::uint64_t>(c[3].number)};
}

std::string to_bytes(const engine::reign& r) {
  std::string out;
  put_big_endian(out, r.high, 8);
  put_big_endian(out, r.low, 8);
  return out;
}

engine::reign reign_of(std::string_view bytes) {
  if (bytes.size() != 16) throw malformed{"a reign has 16 bytes"};
  return {big_endian(bytes.substr(0, 8)), big_endian(bytes.substr(8))};
}

// ---- names

std::string snapshot_folder(std::int32_t partition) { return "p" + std::to_string(partition); }

std::string snapshot_name(std::int32_t partition, std::int64_t offset, std::uint32_t crc) {
  return padded(partition, offset) + "-" + hex_digits(crc, 8) + ".snapshot";
}

std::string segment_name(std::int32_t partition, std::int64_t offset, std::uint64_t random) {
  return padded(partition, offset) + "-" + hex_digits(random, 16) + ".segment";
}

std::optional<snapshot_place> place_of(std::string_view name) {
  constexpr std::string_view suffix = ".snapshot";
  constexpr std::size_t whole = 20 + 1 + 8;
  name.remove_prefix(std::min(name.size(), name.rfind('/') + 1));
  if (name.size() != whole + suffix.size() || !name.ends_with(suffix) || name[20] != '-') return std::nullopt;
  const std::string digits(name.substr(0, 20));
  std::uint64_t crc = 0;
  if (digits.find_first_not_of("0123456789") != std::string::npos || !hex(name.substr(21, 8), crc)) return std::nullopt;
  errno = 0;
  const auto offset = static_cast<std::int64_t>(std::strtoll(digits.c_str(), nullptr, 10));
  if (errno != 0) return std::nullopt;
  return snapshot_place{.offset = offset, .crc = static_cast<std::uint32_t>(crc)};
}

bool is_ours(std::string_view name) {
  name.remove_prefix(std::min(name.size(), name.rfind('/') + 1));
  const bool begins = name.size() > 20 && name[20] == '-' && name.find_first_not_of("0123456789") == 20;
  return begins && (name.ends_with(".snapshot") || name.ends_with(".segment") || name.ends_with(".part"));
}

}  // namespace pawl::store
