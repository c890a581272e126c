#include "broker/kafka_client.hpp"

#include <librdkafka/rdkafka.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <thread>
#include <utility>

#include "config/nearest_name.hpp"

namespace pawl::broker {

struct kafka_log_sink {
  std::function<void(int, std::string_view)> write;
};

namespace {

constexpr std::chrono::milliseconds between_assignments{50};
constexpr const char* largest_message = "8388608";  // the topics' max.message.bytes

kafka_advice advice_for(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR__FATAL:
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER:
      return kafka_advice::new_client;
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
    case RD_KAFKA_RESP_ERR_INVALID_CONFIG:
      return kafka_advice::give_up;
    default:
      return kafka_advice::again;
  }
}

rd_kafka_resp_err_t as_code(int code) { return static_cast<rd_kafka_resp_err_t>(code); }

// What librdkafka says of every client of ours, and is no news to anybody: that a setting is experimental, and that
// there is no broker yet.
bool is_known(std::string_view text) {
  return text.find("enable.gapless.guarantee is experimental") != std::string_view::npos ||
         text.find("No `bootstrap.servers` configured") != std::string_view::npos;
}

void forward_log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
  if (is_known(text)) return;
  const auto* sink = static_cast<const kafka_log_sink*>(rd_kafka_opaque(client));
  if (sink != nullptr && sink->write) sink->write(level, std::string(facility) + ": " + text);
}

void forward_delivery(rd_kafka_t*, const rd_kafka_message_t* m, void*) {
  const std::unique_ptr<kafka_producer::delivered> f(static_cast<kafka_producer::delivered*>(m->_private));
  if (!f || !*f) return;
  kafka_producer::delivery d;
  d.partition = m->partition;
  d.offset = m->offset;
  d.code = m->err;
  if (m->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    // Only what never left this process, or what the broker has refused, is known not to be in the log.
    d.unknown = rd_kafka_message_status(m) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
    d.message = rd_kafka_err2str(m->err);
  } else if (m->offset < 0) {
    d.unknown = true;
    d.code = RD_KAFKA_RESP_ERR__FAIL;
    d.message = "the broker did not say at which offset";
  }
  (*f)(d);
}

using conf_ptr = std::unique_ptr<rd_kafka_conf_t, decltype(&rd_kafka_conf_destroy)>;
using setting = kafka_handle::setting;

void set(rd_kafka_conf_t* conf, const char* name, const std::string& value) {
  std::array<char, 512> why{};
  if (rd_kafka_conf_set(conf, name, value.c_str(), why.data(), why.size()) != RD_KAFKA_CONF_OK)
    throw make_kafka_error(std::string("setting ") + name, RD_KAFKA_RESP_ERR__INVALID_ARG,
                           "librdkafka does not take it; see its list of properties");
}

// Without a broker.
rd_kafka_t* make_client(rd_kafka_type_t type, const kafka_options& o, kafka_log_sink* sink,
                        const std::vector<setting>& ours) {
  conf_ptr conf(rd_kafka_conf_new(), &rd_kafka_conf_destroy);
  set(conf.get(), "client.id", o.client_id);
  set(conf.get(), "socket.nagle.disable", "true");
  set(conf.get(), "socket.keepalive.enable", "true");
  set(conf.get(), "reconnect.backoff.max.ms", "1000");
  // A broker that hangs keeps its connections and answers nothing. What is under way to it is given up after this, and
  // goes to who leads instead; librdkafka's own minute would be a minute without a leader.
  set(conf.get(), "socket.timeout.ms", type == RD_KAFKA_CONSUMER ? "5000" : "10000");
  // One that hangs takes new connections too, for the kernel does; nothing is asked of another until that is given up.
  set(conf.get(), "socket.connection.setup.timeout.ms", "5000");
  set(conf.get(), "api.version.request.timeout.ms", "5000");
  set(conf.get(), "allow.auto.create.topics", "false");
  // Of five minutes, as it is by default, the new leader of a partition would be heard of too late.
  set(conf.get(), "topic.metadata.refresh.interval.ms", "5000");
  for (const auto& [name, value] : o.properties) set(conf.get(), name.c_str(), value);
  for (const auto& [name, value] : ours) set(conf.get(), name, value);
  rd_kafka_conf_set_opaque(conf.get(), sink);
  rd_kafka_conf_set_log_cb(conf.get(), forward_log);
  // Errors of a connection are in the log; what they do to a request is that request's error.
  rd_kafka_conf_set_error_cb(conf.get(), [](rd_kafka_t*, int, const char*, void*) {});
  if (type == RD_KAFKA_PRODUCER) rd_kafka_conf_set_dr_msg_cb(conf.get(), forward_delivery);
  std::array<char, 512> why{};
  auto* client = rd_kafka_new(type, conf.get(), why.data(), why.size());
  if (client == nullptr) throw make_kafka_error("making a Kafka client", RD_KAFKA_RESP_ERR__INVALID_ARG, why.data());
  [[maybe_unused]] auto* now_the_clients = conf.release();
  return client;
}

int as_ms(std::chrono::milliseconds d) { return static_cast<int>(std::clamp<std::int64_t>(d.count(), 0, 3'600'000)); }

}  // namespace

kafka_error make_kafka_error(const std::string& doing, int code, const std::string& detail) {
  auto text = doing + ": " + (detail.empty() ? rd_kafka_err2str(as_code(code)) : detail);
  return {text, code, advice_for(as_code(code))};
}

const std::vector<std::string>& guarded_properties() {
  static const std::vector<std::string> names{"acks",
                                              "request.required.acks",
                                              "enable.idempotence",
                                              "partitioner",
                                              "auto.offset.reset",
                                              "enable.auto.commit",
                                              "group.*",
                                              "transactional.id",
                                              "isolation.level",
                                              "delivery.report.only.error",
                                              "bootstrap.servers",
                                              "metadata.broker.list"};
  return names;
}

namespace {

bool is_guarded(const std::string& name) {
  return std::any_of(guarded_properties().begin(), guarded_properties().end(), [&](const std::string& g) {
    return name == g || (g.ends_with('*') && name.starts_with(g.substr(0, g.size() - 1)));
  });
}

std::string nearest_property(const std::string& name) {
  char* text = nullptr;
  std::size_t size = 0;
  std::vector<std::string> names;
  if (auto* table = ::open_memstream(&text, &size)) {
    rd_kafka_conf_properties_show(table);
    std::fclose(table);
    std::istringstream lines(std::string(text, size));
    for (std::string line; std::getline(lines, line);)
      if (const auto end = line.find_first_of(" |");
          end != 0 && end != std::string::npos && line.find('|') != std::string::npos)
        names.push_back(line.substr(0, end));
    std::free(text);
  }
  const auto nearest = config::nearest_name(name, names);
  return nearest ? "Did you mean " + *nearest + "?" : "Write a name that librdkafka's documentation has";
}

}  // namespace

std::vector<property_mistake> check_properties(const std::map<std::string, std::string>& properties) {
  conf_ptr conf(rd_kafka_conf_new(), &rd_kafka_conf_destroy);
  std::vector<property_mistake> wrong;
  for (const auto& [name, value] : properties) {
    if (is_guarded(name)) {
      wrong.push_back({name, "pawl sets this property itself: its guarantees rest on it", "Leave it out"});
      continue;
    }
    std::array<char, 512> why{};
    switch (rd_kafka_conf_set(conf.get(), name.c_str(), value.c_str(), why.data(), why.size())) {
      case RD_KAFKA_CONF_UNKNOWN:
        wrong.push_back({name, "librdkafka has no such property", nearest_property(name)});
        break;
      case RD_KAFKA_CONF_INVALID:
        wrong.push_back({name, "librdkafka does not take this value", "See its documentation for what it may be"});
        break;
      case RD_KAFKA_CONF_OK:
        break;
    }
  }
  return wrong;
}

// ---- a client

kafka_handle::kafka_handle(kind k, const kafka_options& o, const std::vector<setting>& ours,
                           const std::vector<std::string>& topics)
    : log_(new kafka_log_sink{o.log}),
      client_(make_client(k == kind::reader ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, o, log_.get(), ours)) {
  for (const auto& topic : topics)
    if (auto* t = rd_kafka_topic_new(client_, topic.c_str(), nullptr)) topics_.emplace_back(topic, t);
  if (rd_kafka_brokers_add(client_, o.brokers.c_str()) > 0) return;
  release();
  throw make_kafka_error("making a Kafka client", RD_KAFKA_RESP_ERR__INVALID_ARG,
                         "it can use none of the brokers '" + o.brokers +
                             "': each is host:port, and the protocol is what security.protocol says");
}

kafka_handle::~kafka_handle() { release(); }

void kafka_handle::release() {
  for (const auto& [name, t] : topics_) rd_kafka_topic_destroy(t);
  rd_kafka_destroy(client_);
}

rd_kafka_topic_t* kafka_handle::topic(std::string_view name) const {
  for (const auto& [known, t] : topics_)
    if (known == name) return t;
  return nullptr;
}

// ---- reader

void kafka_reader::message_deleter::operator()(rd_kafka_message_s* m) const { rd_kafka_message_destroy(m); }
void kafka_reader::list_deleter::operator()(rd_kafka_topic_partition_list_s* l) const {
  rd_kafka_topic_partition_list_destroy(l);
}

kafka_reader::kafka_reader(const kafka_options& o, std::string topic, std::int32_t partition, answers a)
    : topic_(std::move(topic)),
      partition_(partition),
      name_(topic_ + "/" + std::to_string(partition)),
      client_(kafka_handle::kind::reader, o,
              {{"group.id", "pawl-reader"},
               {"enable.auto.commit", "false"},
               {"enable.auto.offset.store", "false"},
               {"auto.offset.reset", "error"},
               {"fetch.wait.max.ms", "100"},
               {"fetch.min.bytes", a == answers::in_bulk ? "1048576" : "1"},
               {"fetch.error.backoff.ms", "50"},
               {"fetch.message.max.bytes", largest_message},
               {"queued.max.messages.kbytes", "16384"},
               {"check.crcs", "true"}},
              {topic_}) {
  rd_kafka_poll_set_consumer(client_.get());
}

kafka_reader::~kafka_reader() {
  held_.reset();
  rd_kafka_consumer_close(client_.get());
}

kafka_reader::partition_list kafka_reader::here(std::int64_t offset) const {
  partition_list list(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(list.get(), topic_.c_str(), partition_)->offset = offset;
  return list;
}

void kafka_reader::seek(std::int64_t offset) {
  if (offset == next_) return;
  held_.reset();
  next_ = -1;
  // To assign a partition while it is still being stopped for the time before ends librdkafka 2.0: it asserts that what
  // it stops has been started (rd_kafka_assignment_partition_stopped). To stop one takes it far less than this.
  std::this_thread::sleep_until(assigned_at_ + between_assignments);
  if (const auto code = rd_kafka_assign(client_.get(), here(offset).get()); code != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw make_kafka_error("reading " + name_, code);
  assigned_at_ = std::chrono::steady_clock::now();
  if (std::exchange(resting_, false)) rd_kafka_resume_partitions(client_.get(), here(offset).get());
  next_ = offset;
}

void kafka_reader::rest() {
  if (next_ < 0) return;
  held_.reset();
  next_ = -1;
  resting_ = true;
  const auto list = here(RD_KAFKA_OFFSET_INVALID);
  if (const auto code = rd_kafka_pause_partitions(client_.get(), list.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR)
    throw make_kafka_error("resting from " + name_, code);
}

const kafka_message* kafka_reader::next(std::chrono::milliseconds wait) {
  held_.reset(rd_kafka_consumer_poll(client_.get(), as_ms(wait)));
  if (!held_) return nullptr;
  if (held_->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    const auto code = held_->err;
    const std::string why = held_->payload ? rd_kafka_message_errstr(held_.get()) : "";
    held_.reset();
    // What a client reports and mends by itself is no answer to this question.
    if (advice_for(code) == kafka_advice::again) return nullptr;
    throw make_kafka_error("reading " + name_ + " from offset " + std::to_string(next_), code, why);
  }
  message_.offset = held_->offset;
  message_.has_key = held_->key != nullptr;
  message_.key = {static_cast<const char*>(held_->key), held_->key ? held_->key_len : 0};
  message_.value = {static_cast<const char*>(held_->payload), held_->payload ? held_->len : 0};
  rd_kafka_timestamp_type_t kind{};
  message_.timestamp_ms = rd_kafka_message_timestamp(held_.get(), &kind);
  next_ = held_->offset + 1;
  return &message_;
}

std::vector<std::pair<std::string_view, std::string_view>> kafka_reader::headers() const {
  std::vector<std::pair<std::string_view, std::string_view>> out;
  rd_kafka_headers_t* list = nullptr;
  if (!held_ || rd_kafka_message_headers(held_.get(), &list) != RD_KAFKA_RESP_ERR_NO_ERROR) return out;
  const char* name = nullptr;
  const void* value = nullptr;
  std::size_t size = 0;
  for (std::size_t k = 0; rd_kafka_header_get_all(list, k, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; ++k)
    out.emplace_back(name, std::string_view(static_cast<const char*>(value), value != nullptr ? size : 0));
  return out;
}

// Not rd_kafka_query_watermark_offsets: of a partition whose broker is gone or hangs, librdkafka 2.0 asks that broker
// again and again, whatever time it was given, and whoever leads by then.
std::int64_t kafka_reader::ask(std::int64_t which, std::chrono::milliseconds wait) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    const auto list = here(which);
    auto code = rd_kafka_offsets_for_times(client_.get(), list.get(), std::max(1, as_ms(left)));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) code = list->elems[0].err;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && list->elems[0].offset >= 0) return list->elems[0].offset;
    // Of a topic that was made a moment ago, or a partition that is moving, not every broker has heard, nor has this
    // client.
    const bool unheard = code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
                         code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    const bool passing = unheard || advice_for(code) == kafka_advice::again;
    if (!passing || std::chrono::steady_clock::now() >= deadline)
      throw make_kafka_error("asking for the offsets of " + name_,
                             code == RD_KAFKA_RESP_ERR_NO_ERROR ? RD_KAFKA_RESP_ERR__FAIL : code);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

kafka_reader::range kafka_reader::offsets(std::chrono::milliseconds wait) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  range r;
  r.first = ask(RD_KAFKA_OFFSET_BEGINNING, wait);
  r.end = ask(RD_KAFKA_OFFSET_END,
              std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()));
  return r;
}

std::int64_t kafka_reader::known_end() const {
  std::int64_t first = 0;
  std::int64_t end = 0;
  const auto code = rd_kafka_get_watermark_offsets(client_.get(), topic_.c_str(), partition_, &first, &end);
  return code == RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0 ? end : -1;
}

// ---- producer

namespace {

std::vector<setting> settings_of(const kafka_producer::options& p) {
  std::vector<setting> ours{{"linger.ms", std::to_string(p.linger.count())},
                            {"compression.type", p.compression},
                            {"acks", "all"},
                            {"enable.idempotence", "true"},
                            {"partitioner", "murmur2_random"},
                            {"message.timeout.ms", std::to_string(as_ms(p.give_up_after))},
                            {"message.max.bytes", largest_message},
                            {"queue.buffering.max.messages", "1000000"},
                            {"retry.backoff.ms", "20"}};
  if (p.gapless) ours.emplace_back("enable.gapless.guarantee", "true");
  return ours;
}

}  // namespace

kafka_producer::kafka_producer(const kafka_options& o, const options& p)
    : client_(kafka_handle::kind::producer, o, settings_of(p), p.topics) {}

kafka_producer::~kafka_producer() {
  rd_kafka_purge(handle(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
  rd_kafka_poll(handle(), 0);
}

void kafka_producer::send(const std::string& topic, std::int32_t partition, std::optional<std::string_view> key,
                          std::string_view value, delivered on_delivered, std::span<const header> h) {
  auto f = std::make_unique<delivered>(std::move(on_delivered));
  auto* list = h.empty() ? nullptr : rd_kafka_headers_new(h.size());
  for (const auto& [name, text] : h)
    rd_kafka_header_add(list, name.data(), static_cast<ssize_t>(name.size()), text.data(),
                        static_cast<ssize_t>(text.size()));
  // librdkafka copies what it is given; its interface is older than const.
  const auto bytes = [](std::string_view v) { return const_cast<char*>(v.data()); };
  const auto k = key.value_or(std::string_view());
  std::array<rd_kafka_vu_t, 8> args{};
  std::size_t n = 0;
  if (auto* known = client_.topic(topic))
    args[n].vtype = RD_KAFKA_VTYPE_RKT, args[n++].u.rkt = known;
  else
    args[n].vtype = RD_KAFKA_VTYPE_TOPIC, args[n++].u.cstr = topic.c_str();
  args[n].vtype = RD_KAFKA_VTYPE_PARTITION, args[n++].u.i32 = partition;
  args[n].vtype = RD_KAFKA_VTYPE_MSGFLAGS, args[n++].u.i = RD_KAFKA_MSG_F_COPY;
  args[n].vtype = RD_KAFKA_VTYPE_VALUE, args[n++].u.mem = {bytes(value), value.size()};
  if (key) args[n].vtype = RD_KAFKA_VTYPE_KEY, args[n++].u.mem = {bytes(k), k.size()};
  if (list) args[n].vtype = RD_KAFKA_VTYPE_HEADERS, args[n++].u.headers = list;
  args[n].vtype = RD_KAFKA_VTYPE_OPAQUE, args[n++].u.ptr = f.get();
  if (auto* e = rd_kafka_produceva(handle(), args.data(), n)) {
    const int code = rd_kafka_error_code(e);
    const std::string why = rd_kafka_error_string(e);
    rd_kafka_error_destroy(e);
    if (list) rd_kafka_headers_destroy(list);
    throw make_kafka_error("writing to " + topic, code, why);
  }
  [[maybe_unused]] auto* comes_back_with_the_delivery = f.release();
}

void kafka_producer::poll(std::chrono::milliseconds wait) { rd_kafka_poll(handle(), as_ms(wait)); }
std::size_t kafka_producer::waiting() const { return static_cast<std::size_t>(rd_kafka_outq_len(handle())); }
bool kafka_producer::flush(std::chrono::milliseconds wait) {
  return rd_kafka_flush(handle(), as_ms(wait)) == RD_KAFKA_RESP_ERR_NO_ERROR;
}

std::string kafka_producer::fatal() const {
  std::array<char, 512> why{};
  return rd_kafka_fatal_error(handle(), why.data(), why.size()) == RD_KAFKA_RESP_ERR_NO_ERROR ? "" : why.data();
}

}  // namespace pawl::broker
