// Ownership: which node should lead which partition, and which one announces now. A fold over the heartbeats of
// `<ns>.nodes`, so that every node that has read the same records says the same, without asking anybody.
//
// Pure: no clock, no randomness, no I/O. Nodes that have not read as far as others disagree for a moment; that is
// harmless, since the fence (fence.hpp) lets only one of them commit. What is decided here is who tries.
//
// **Log time** is the only clock: the sum of the gaps between the append times of consecutive records, each counted as
// at least 0 and at most `longest_gap`. A broker that is away for an hour, or whose clock is set, adds a second, and
// kills nobody. A node is gone after `session` of silence in log time.
//
// **Incarnations.** Their numbers are random, so they do not say which is the newer one. The offset of an incarnation's
// first heartbeat does (`born`): a node learns its own when that heartbeat comes back, and says it in all later ones,
// so that a reader that began in the middle of the log, or after the retention took the beginning away, orders them as
// everybody does. The newer one ends the older one at once, whose later heartbeats are ignored; and a process that was
// stopped for an hour cannot pass for the replacement of its own replacement. Only when the newer one is gone does the
// older one count again: whoever is the only one to speak under a name is that node, for every reader, within a
// session.
//
//     unheard --own heartbeat read--> heard --a newer one read--> replaced: exit, naming the clash
//        ^                              |
//        '--- a session of silence -----'
//
// **Placement.** Of the nodes that are live, healthy and not too far off in time, each has a score per partition
// (rendezvous hashing); going through all pairs from the highest score down, a pair holds if the partition is free and
// the node has room: each leads floor(partitions / nodes), and as many as it takes lead one more. (A cap of the ceiling
// alone moves as many and may leave a node with nothing to do: 8 partitions on 5 nodes as 2, 2, 2, 2, 0.) A node that
// joins or goes moves its share, and now and then a few more that are pushed on from node to node: by test, a seventh
// more on average. The first standby is the node that would lead if the leader went, the rest follow by score; that is
// the *order* of the partition. So a failure is answered by a node whose view is warm.
//
// **Who announces.** The first of the order, once its view is within `close_enough` of the end; until then a living
// node that says `leading` goes on. If there is none, or it has released: the first of the order that is close enough,
// and if none is, the first. A node whose view of the partition has diverged is passed over until it has folded it
// again.
//
// A log that begins anew (the topic was made again) needs a new fold.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "workflow/ids.hpp"

namespace pawl::broker {

using std::chrono::milliseconds;

inline constexpr milliseconds heartbeat_interval{300};
inline constexpr milliseconds longest_gap{1'000};
inline constexpr milliseconds default_session{3'000};
/// Records between a view and the end of its journal, up to which a node may take a partition over without a stall.
inline constexpr std::int64_t close_enough = 1'000;
inline constexpr milliseconds clock_warns{1'000};
inline constexpr milliseconds clock_forbids{10'000};
/// In log time: how far back the best measurement of a node's clock counts.
inline constexpr milliseconds clock_window{10'000};
/// In log time: a node that has been gone for so long is no longer shown.
inline constexpr milliseconds forgotten_after{600'000};
inline constexpr std::size_t most_nodes = 1'024;
inline constexpr std::size_t most_lives = 8;  ///< incarnations remembered per node id
inline constexpr std::uint64_t longest_wait = 16;  ///< own heartbeats, after refusals in a row
inline constexpr std::uint64_t settled_after = 32;  ///< own heartbeats as leader, which make earlier refusals forgotten

enum class partition_role : std::uint8_t {
  standby = 1,
  catching_up = 2,
  announcing = 3,
  leading = 4,
  releasing = 5,
  diverged = 6,
};
enum class node_health : std::uint8_t { ok = 1, sick = 2, leaving = 3 };

/// The newest format of each kind of bytes that a node reads. A writer writes none that a living node does not read.
struct read_formats {
  std::uint32_t journal = 1;
  std::uint32_t commands = 1;
  std::uint32_t snapshots = 1;
  bool operator==(const read_formats&) const = default;
};

struct partition_report {
  std::int32_t partition = 0;
  partition_role role = partition_role::standby;
  std::int64_t position = 0;  ///< offset behind the last record in the view
  bool operator==(const partition_report&) const = default;
};

/// What a start of a type has to know of it where the type is not.
struct type_definition {
  std::uint64_t digest = 0;
  bool code = false;
  bool operator==(const type_definition&) const = default;
};

struct heartbeat {
  std::string node{};
  engine::incarnation incarnation = 0;
  std::uint64_t beat = 0;  ///< 1, 2, … within the incarnation; ownership::sign sets it
  std::int64_t born = -1;  ///< offset of this incarnation's first heartbeat, once known; ownership::sign sets it
  std::int64_t sent_ms = 0;  ///< the node's own wall time, since the Unix epoch
  std::string name{};  ///< for people
  std::string address{};
  node_health health = node_health::ok;
  std::vector<std::string> runs{};  ///< workflow types, opaque
  std::vector<type_definition> definitions{};  ///< of `runs`, in their order; of an older node none
  read_formats reads{};
  std::vector<partition_report> partitions{};
  bool operator==(const heartbeat&) const = default;
};

/// The rules, one by one, so that a simulation can show that each is needed. Nothing else leaves one out.
struct ownership_rules {
  bool gap_cap = true;  ///< a gap counts at most `longest_gap`
  bool incarnation = true;  ///< heartbeats of an older incarnation are ignored
  bool own_heartbeat = true;  ///< a node acts only on what it has read since its own heartbeat came back
  bool catch_up = true;  ///< the first of the order waits until it is close enough
};

struct ownership_settings {
  std::int32_t partitions = 1;
  std::size_t standbys = 1;  ///< a partition, besides its leader
  milliseconds session = default_session;
};

enum class clock_state : std::uint8_t { right, warns, forbids };

/// How far a node's wall clock is from the log's. A heartbeat that was held up looks like a clock that is slow, so the
/// best measurement of the last `clock_window` counts.
class clock_offset {
 public:
  void measured(milliseconds log_time, std::int64_t sent_ms, std::int64_t append_ms);
  /// Positive: the node is ahead.
  milliseconds value() const { return std::max(newer_, older_); }
  clock_state state() const;

 private:
  milliseconds newer_ = milliseconds::min();
  milliseconds older_ = milliseconds::min();
  milliseconds began_ = milliseconds::min();  // the log time at which newer_ began to be collected
};

/// What is known of one partition on one node.
struct partition_standing {
  std::optional<partition_role> role;  ///< none: it holds no view of it
  std::int64_t position = 0;
  std::int64_t since = -1;  ///< offset of the first heartbeat that said this role
};

/// What is known of one node: the newest heartbeat that counted, and what follows from it.
struct node_state {
  engine::incarnation incarnation = 0;
  std::int64_t born = -1;
  std::string name{};
  std::string address{};
  node_health health = node_health::ok;
  std::vector<std::string> runs{};
  std::vector<type_definition> definitions{};
  read_formats reads{};
  std::vector<partition_standing> partitions{};  ///< by number
  clock_offset clock{};
  bool live = false;
  milliseconds heard{0};  ///< log time of that heartbeat
  milliseconds since{0};  ///< log time at which it came to live, or was declared gone

  struct life {
    engine::incarnation incarnation;
    std::int64_t born;
  };
  std::vector<life> lives{};  ///< earlier ones, and this one last; at most `most_lives`

  /// Nothing but a node that may lead is placed.
  bool may_lead() const { return live && health == node_health::ok && clock.state() != clock_state::forbids; }
};

/// What a reader of the nodes' log has to add about a partition's journal.
struct journal_end {
  std::int64_t offset = 0;  ///< one behind the newest record
  bool released = false;  ///< the fence's fold says so, which is earlier than the heartbeat that does
  /// The asking node's own position, which its last heartbeat lags behind; below 0: as in the heartbeat.
  std::int64_t own_view = -1;
};

enum class partition_state : std::uint8_t {
  settled,  ///< the node that should lead does
  moving,  ///< another goes on leading until the node that should lead has caught up
  due,  ///< another leads, and the node that should lead has caught up: its announcement is awaited
  vacant,  ///< nobody leads: an announcement is awaited
  nobody,  ///< no node may lead
};

/// Why a partition is where it is, for people. Views point into the fold and last until its next read().
struct partition_status {
  partition_state state = partition_state::nobody;
  std::string_view leader;  ///< the living node that says so; empty: none
  std::string_view should;  ///< the node that should lead; empty: none
  std::string_view announcer;  ///< whose announcement is awaited; empty: none
  std::int64_t behind = 0;  ///< records that `should` (of a vacant one: `announcer`) lacks
  milliseconds since{0};  ///< log time at which leader or should became what they are
  milliseconds lasted{0};  ///< ... and how long that is ago
};

/// What every reader agrees on after the same records. One thread at a time. Cheap to ask; read() costs
/// nodes x partitions, and a sort of these pairs when a node comes, goes, or changes its health.
class ownership_fold {
 public:
  /// `next`: the offset at which reading begins; the oldest that the log still has.
  explicit ownership_fold(ownership_settings settings, std::int64_t next = 0, ownership_rules rules = {});

  /// Every record of the log, in the order of offsets. False: ignored, as of an older incarnation, or as one node more
  /// than `most_nodes`; log time passes all the same.
  bool read(std::int64_t offset, std::int64_t append_ms, const heartbeat& h);

  milliseconds log_time() const { return log_time_; }
  std::int64_t next_offset() const { return next_; }
  std::uint64_t ignored() const { return ignored_; }
  const ownership_settings& settings() const { return settings_; }

  /// By id: those that live, and those that were lost less than `forgotten_after` ago.
  const std::map<std::string, node_state, std::less<>>& nodes() const { return nodes_; }
  const node_state* find(std::string_view node) const;

  /// Every node that may lead: the one that should lead the partition, its standbys, the rest.
  std::span<const std::string> order(std::int32_t partition) const;
  /// Empty: none.
  std::string_view should_lead(std::int32_t partition) const;
  std::span<const std::string> standbys(std::int32_t partition) const;
  /// The living node whose heartbeat says `leading`; of several, the one that began last. Empty: none.
  std::string_view present_leader(std::int32_t partition) const;
  /// The node that is to announce now; empty: none is. `asking` is the node whose own_view the end holds.
  std::string_view announcer(std::int32_t partition, const journal_end& end, std::string_view asking = {}) const;
  partition_status explain(std::int32_t partition, const journal_end& end) const;

  /// What every living node reads; the oldest of all when none lives.
  read_formats formats() const;
  /// The living nodes that run a type.
  std::vector<std::string> runners(std::string_view type) const;

 private:
  struct place {
    std::vector<std::string> order;
    std::string present;
    milliseconds since{0};
  };

  void pass_time(std::int64_t append_ms);
  bool hear(std::int64_t offset, std::int64_t append_ms, const heartbeat& h);
  node_state* enter(const std::string& node);
  bool succeed(node_state& n, std::int64_t offset, const heartbeat& h);
  void judge();
  void arrange();
  std::string find_leader(std::size_t partition) const;
  bool within(std::string_view node, std::int32_t partition, const journal_end& end, std::string_view asking) const;
  std::int64_t position(std::string_view node, std::int32_t partition, const journal_end& end,
                        std::string_view asking) const;
  bool diverged(std::string_view node, std::int32_t partition) const;
  const place* at(std::int32_t partition) const;

  ownership_settings settings_;
  ownership_rules rules_;
  std::int64_t next_;
  std::optional<std::int64_t> last_append_;
  milliseconds log_time_{0};
  std::uint64_t ignored_ = 0;
  std::map<std::string, node_state, std::less<>> nodes_;
  std::vector<std::string> candidates_;  // may lead, by id
  std::vector<place> places_;  // by partition
};

/// What a node does about a partition, and why.
enum class verdict : std::uint8_t {
  announce,  ///< this node, now
  leads,  ///< its own heartbeat says that it does already
  unheard,  ///< its own heartbeat has not come back, or it was silent for a session since
  replaced,  ///< a newer incarnation of this node lives: exit
  unfit,  ///< not healthy, or its clock is too far off
  waiting,  ///< an announcement was refused or superseded, and its heartbeat has not come back since
  catching_up,  ///< it should lead, and another does until it has caught up
  other,  ///< it is another node's turn, or place
};
std::string_view text(verdict v);
std::string_view text(partition_state s);
std::string_view text(partition_role r);
std::string_view text(node_health h);

/// One node's part in it. One thread at a time.
class ownership {
 public:
  ownership(std::string node, engine::incarnation self, ownership_settings settings, std::int64_t next = 0,
            ownership_rules rules = {});

  /// Fills in what this node's next heartbeat says about itself: name, incarnation, number, birth. To be sent once, in
  /// this order, whether or not an earlier one has come back.
  heartbeat sign(heartbeat h);
  /// Every record of the log; reading has begun before the first heartbeat is sent.
  bool read(std::int64_t offset, std::int64_t append_ms, const heartbeat& h);

  /// Its own heartbeat has come back, and it is live: what it has read is worth acting on.
  bool heard() const;
  struct replacement {
    engine::incarnation incarnation = 0;
    std::string address;
  };
  /// Another process lives under this node's id: exit, naming both. Once told, told for ever.
  const std::optional<replacement>& replaced_by() const { return replaced_by_; }

  /// This node's announcement was refused, or superseded by another's, or its outcome is unknown. It tries again after
  /// 1, 2, 4, … `longest_wait` heartbeats, made since, have come back.
  void refused(std::int32_t partition);

  /// Asked by a node that does not lead the partition. Costs nodes.
  verdict consider(std::int32_t partition, const journal_end& end) const;
  bool should_announce(std::int32_t partition, const journal_end& end) const {
    return consider(partition, end) == verdict::announce;
  }
  /// Whether this node is to hold a view of it: it should lead, or stand by.
  bool should_follow(std::int32_t partition) const;

  const ownership_fold& fold() const { return fold_; }
  const std::string& node() const { return node_; }
  engine::incarnation incarnation() const { return self_; }

 private:
  struct refusals {
    std::uint64_t in_a_row = 0;
    std::uint64_t until = 0;  // the number of the heartbeat that must have come back
    std::uint64_t steady = 0;  // own heartbeats read in a row that said `leading`
  };

  void own_read(const heartbeat& h);

  std::string node_;
  engine::incarnation self_;
  ownership_rules rules_;
  ownership_fold fold_;
  std::uint64_t signed_ = 0;  // heartbeats made
  std::uint64_t heard_ = 0;  // the newest that came back
  std::int64_t born_ = -1;
  std::optional<replacement> replaced_by_;
  std::vector<refusals> refusals_;  // by partition
};

}  // namespace pawl::broker
