"""What chaos does to a cluster: each fault is a function of the world (chaos.py) that does it, sees that it has fired, heals it,
and says in a few words what happened."""
import contextlib
import glob
import json
import os
import re
import shutil
import sqlite3
import time

from pawl_cluster import SESSION, run_python, since
from pawl_node import eventually

TAKE_OVER = 40  # seconds; on a machine that does much else
AWAY = 30  # seconds
SAID_OF_A_VIEW = "cannot be used and is built anew|does not fit the log and is read anew"


# ---- nodes

def taken_over(world, victim, partitions):
    """Seconds until others lead what the victim led, as those that are left say."""
    began = time.monotonic()
    left = [n for name, n in world.cluster.alive().items() if name != victim]

    def others():
        leaders = world.cluster.leaders(left[0])
        return all(leaders[p] not in (None, victim) for p in partitions)
    eventually(others, f"others lead {partitions} of {victim}", TAKE_OVER)
    return since(began)


def a_leader(world):
    leaders = world.cluster.settled()
    victim = world.rng.choice(sorted(set(leaders.values())))
    return victim, [p for p, name in leaders.items() if name == victim]


def leader_killed(world):
    victim, partitions = a_leader(world)
    world.cluster.nodes[victim].kill()
    took = taken_over(world, victim, partitions)
    world.cluster.start(victim)
    return f"{victim}, which led {partitions}: others after {took:.1f} s"


def two_nodes_killed(world):
    victims = world.rng.sample(sorted(world.cluster.nodes), 2)
    for name in victims:
        world.cluster.nodes[name].kill()
    left = next(iter(world.cluster.alive()))
    world.cluster.settled()
    world.cluster.start(*victims)
    return f"{' and '.join(victims)}, {left} led all"


def leader_stopped(world):
    victim, partitions = a_leader(world)
    before = {p["partition"]: p["epoch"] for p in world.cluster.partitions(world.cluster.nodes[victim])}
    world.cluster.pause(victim)
    took = taken_over(world, victim, partitions)
    world.rest(world.rng.uniform(0, 2 * SESSION))
    world.cluster.resume(victim)

    def knows():
        rows = world.cluster.partitions(world.cluster.nodes[victim])
        return all(row["epoch"] > before[row["partition"]] for row in rows if row["partition"] in partitions)
    eventually(knows, f"{victim} knows that it was deposed", TAKE_OVER)
    return f"{victim}, which led {partitions}: others after {took:.1f} s, and it knows"


def node_asked_to_end(world):
    name = world.rng.choice(sorted(world.cluster.nodes))
    code = world.cluster.nodes[name].drain()
    assert code == 0, f"{name} ended with {code}: {world.cluster.nodes[name].tail()}"
    world.cluster.settled()
    world.cluster.start(name)
    return f"{name} ended with 0, others led"


def node_id_copied(world):
    name = world.rng.choice(sorted(world.cluster.nodes))
    original = world.cluster.nodes[name]
    twin = world.cluster.node(name + "-twin")
    shutil.rmtree(twin.data, ignore_errors=True)
    os.makedirs(twin.data)
    shutil.copy(os.path.join(original.data, "node_id"), twin.data)
    with twin:
        twin.start()
        assert original.process.wait(TAKE_OVER) == 1, original.tail()
        assert "another process lives under this node's id" in original.tail(), original.tail()
        assert twin.drain() == 0, twin.tail()
    world.cluster.start(name)
    return f"{name} ended with 1, naming the clash, when its copy came"


# ---- brokers

def broker_killed(world):
    number = world.rng.choice(sorted(world.kafka.running()))
    world.kafka.kill(number)
    world.rest(world.rng.uniform(1, 8))
    assert number not in world.kafka.running()
    world.kafka.start(number)
    return f"broker {number} of {len(world.kafka.nodes)}, and it came back"


def brokers_away(world):
    """A broker outage kills no node, and what is asked meanwhile is refused."""
    for number in world.kafka.running():
        world.kafka.kill(number)
    began = time.monotonic()
    status, answer = world.cluster.any().begin("sleeps", f"away-{world.count}", {"ms": 1}, command=f"c-away-{world.count}")
    assert status == 503, (status, answer)
    world.rest(AWAY - since(began))
    for number in world.kafka.nodes:
        world.kafka.start(number, wait=False)
    for number in world.kafka.nodes:
        world.kafka.wait(number, set(world.kafka.nodes))
    dead = [name for name, n in world.cluster.nodes.items() if n.process.poll() is not None]
    assert not dead, f"{dead} ended"
    return f"all of them for {since(began):.0f} s; a start was refused with 503"


# ---- what a node has on its disk

def views_of(node):
    return sorted(glob.glob(os.path.join(node.data, "p*", "pawl.db")))


def down(world):
    """A node that has views, ended one way or the other."""
    name = world.rng.choice(sorted(world.cluster.nodes))
    node = world.cluster.nodes[name]
    eventually(lambda: views_of(node), f"{name} has views")
    if world.rng.random() < 0.5:
        node.kill()
    else:
        assert node.drain() == 0, node.tail()
    return name, node


def a_view_of(world, node):
    """The file of one, which holds all that the view does; how large its pages are, how many there are, and where its events begin."""
    view = world.rng.choice(views_of(node))
    with contextlib.closing(sqlite3.connect(view)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        page, pages = (db.execute(f"PRAGMA page_{what}").fetchone()[0] for what in ("size", "count"))
        (events,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'events'").fetchone()
    assert os.path.getsize(view) == page * pages and not os.path.exists(view + "-wal"), view
    return view, os.path.basename(os.path.dirname(view)), page, pages, events


def views_deleted(world):
    name, node = down(world)
    gone = views_of(node)
    for view in gone:
        for part in glob.glob(view + "*"):
            os.remove(part)
    world.cluster.start(name)
    world.cluster.settled()
    eventually(lambda: views_of(node), f"{name} has views again", TAKE_OVER)
    return f"all {len(gone)} of {name}; they are back"


def view_truncated(world):
    name, node = down(world)
    view, place, page, pages, _ = a_view_of(world, node)
    kept = world.rng.randint(page, page * (pages - 1))
    os.truncate(view, kept)
    return f"{name}'s {place} at {kept} of {page * pages} bytes: {rebuilt(world, name)}"


def flip(world, file, places):
    """Some bits of 8 bytes at each of the places."""
    with open(file, "r+b") as f:
        for at in places:
            f.seek(at)
            flipped = bytes(b ^ (1 << world.rng.randrange(8)) for b in f.read(8))
            f.seek(at)
            f.write(flipped)


def view_overwritten(world):
    """Bits are flipped in what says where everything is on each page."""
    name, node = down(world)
    view, place, page, pages, _ = a_view_of(world, node)
    flip(world, view, [k * page + (100 if k == 0 else 0) for k in range(pages)])  # the header of its B-tree
    return f"{name}'s {place}, {pages} pages: {rebuilt(world, name)}"


def view_spoilt_inside(world):
    """The same on one page, which is looked at only when events are written: the view can be opened, and goes bad in use."""
    name, node = down(world)
    view, place, page, _, events = a_view_of(world, node)
    flip(world, view, [(events - 1) * page])
    return f"{name}'s {place}, page {events}: {rebuilt(world, name)}"


def rebuilt(world, name):
    mark = world.log_size(name)
    world.cluster.start(name)
    world.cluster.settled()
    return world.finds(name, mark, SAID_OF_A_VIEW)[0]


def with_whole_snapshots(world):
    """Folders of partitions whose two newest snapshots, which their leader keeps, are as they were written: of two that are spoilt
    nothing is left to start from once the journal is trimmed."""
    found = []
    for folder in sorted(glob.glob(os.path.join(world.snapshots, "*", "p*"))):
        written = set(glob.glob(os.path.join(folder, "*.snapshot"))) | {s for s in world.spoilt if os.path.dirname(s) == folder}
        kept = sorted(written)[-2:]
        if len(kept) == 2 and not world.spoilt & set(kept):
            found.append(folder)
    return found


def snapshot_damaged(world, how=None):
    """A partition's newest snapshot is of no use, and a node without a view of it."""
    if not glob.glob(os.path.join(world.snapshots, "*", "p*", "*.snapshot")):
        return None
    how = how or world.rng.choice(["half", "flipped", "gone"])
    for _ in range(5):
        name, node = down(world)
        folder = world.rng.choice(eventually(lambda: with_whole_snapshots(world), "a partition has two snapshots that are whole", 120))
        newest, place = max(glob.glob(os.path.join(folder, "*.snapshot"))), os.path.basename(folder)
        world.spoilt.add(newest)
        damage(newest, how)
        shutil.rmtree(os.path.join(node.data, place), ignore_errors=True)
        mark = world.log_size(name)
        world.cluster.start(name)
        found = world.finds(name, mark, r"partition=\S+/" + place[1:] + r' text="the view starts from the snapshot at offset (\d+)')
        spoilt = int(os.path.basename(newest).split("-")[0])
        if int(found[1]) > spoilt:
            continue  # a newer one was written in the meantime
        assert int(found[1]) < spoilt, found
        if how != "gone":
            world.finds(name, mark, re.escape(f"{place}/{os.path.basename(newest)}") + " is passed over")
        return f"{place}/{os.path.basename(newest)} {how}; {name} starts from {found[1]}"
    return None


def damage(file, how):
    if how == "gone":
        os.remove(file)
    elif how == "half":
        os.truncate(file, os.path.getsize(file) // 2)
    else:
        with open(file, "r+b") as f:
            f.seek(os.path.getsize(file) // 2)
            byte = f.read(1)
            f.seek(-1, os.SEEK_CUR)
            f.write(bytes([byte[0] ^ 16]))


ENDS = """
import json, sys
from kafka import KafkaConsumer, TopicPartition
asked = json.load(sys.stdin)
c = KafkaConsumer(bootstrap_servers=asked["bootstrap"].split(","))
places = [TopicPartition(asked["topic"], p) for p in range(asked["partitions"])]
print(json.dumps([c.beginning_offsets(places)[p] for p in places]))
"""


def journal_begins(world):
    """The first offset of each partition of the journal."""
    return run_python("-c", ENDS, text=json.dumps({"bootstrap": world.kafka.bootstrap, "topic": world.cluster.name_space + ".journal",
                                                   "partitions": world.partitions}))


def views_below_the_trim(world):
    """A node that was away for so long that the journal begins above its views."""
    name, node = down(world)
    stood = {int(os.path.basename(os.path.dirname(v))[1:]) for v in views_of(node)}
    rows = [p for n in world.cluster.alive().values() for p in world.cluster.partitions(n) if p["journal_end"] is not None]
    ends = {number: max(p["journal_end"] for p in rows if p["partition"] == number) for number in stood}
    waits = time.monotonic()
    eventually(lambda: any(begin > ends[p] for p, begin in enumerate(journal_begins(world)) if p in stood), "the journal is trimmed above it", 240)
    waited = since(waits)
    above = [p for p, begin in enumerate(journal_begins(world)) if p in stood and begin > ends[p]]
    world.cluster.start(name)
    world.cluster.settled()
    return f"{name} was away for {waited:.0f} s, and starts below the journal's beginning in {above}"


# ---- commands

def one_command_five_times(world):
    name = f"five-{world.count}"
    body = {"id": name, "type": "sleeps", "input": {"ms": 1}}
    outcomes = [world.cluster.tell("POST", "/v1/workflows", body, name, "c-" + name, (200, 201), within=120)["outcome"] for _ in range(5)]
    # The first may be a duplicate as well: its first answer was lost on the way.
    assert outcomes[0] in ("applied", "duplicate") and outcomes[1:] == ["duplicate"] * 4, outcomes
    return f"{name}: {', '.join(outcomes)}"


FOREIGN = """
import json, sys
from kafka import KafkaProducer
asked = json.load(sys.stdin)
p = KafkaProducer(bootstrap_servers=asked["bootstrap"].split(","), acks="all", max_request_size=9 << 20, retries=10)
place = lambda n: n % asked["partitions"]
junk = bytes((n * 7919 >> 3) & 255 for n in range(1 << 20))
start = json.dumps({"command": "start", "type": "sleeps", "input": {"ms": 1}}).encode()
commands, journal, nodes = (asked["namespace"] + "." + t for t in ("commands", "journal", "nodes"))
sent = [p.send(commands, key=b"junk", value=junk, partition=place(asked["count"])),
        p.send(commands, key=None, value=start, partition=place(asked["count"] + 1)),
        p.send(commands, key=b"\\xff\\xfe", value=start, partition=place(asked["count"])),
        p.send(commands, key=b"nonsense", value=b"{\\"command\\": \\"dance\\"}", partition=place(asked["count"] + 2)),
        p.send(journal, value=junk[:1000], partition=place(asked["count"])),
        p.send(journal, value=junk, partition=place(asked["count"] + 1)),
        p.send(nodes, key=b"junk", value=junk[:1000], partition=0)]
sent += [p.send(commands, key=w.encode(), value=start, partition=n) for w in asked["wrong"] for n in [place(asked["count"])]]
p.flush(60)
print(json.dumps([f.get(60).offset for f in sent]))
"""
DEAD_LETTERS = 4  # of those


def foreign_garbage(world):
    """Junk on every topic, and starts where another partitioner has put them."""
    wrong = [f"wrong-{world.count}-{k}" for k in range(8)]
    run_python("-c", FOREIGN, text=json.dumps({"bootstrap": world.kafka.bootstrap, "namespace": world.cluster.name_space, "count": world.count,
                                               "partitions": world.partitions, "wrong": wrong}))
    world.dead_letters += DEAD_LETTERS
    world.garbage += 2
    for w in wrong:
        eventually(lambda w=w: world.ask_show(w) == 200, f"{w}, from another partitioner, is there", 120)
    return f"1 MiB of junk, no key, nonsense, junk in the journal and among the heartbeats; {len(wrong)} starts of another partitioner arrived"


# How often each is chosen.
FAULTS = {leader_killed: 4, leader_stopped: 4, node_asked_to_end: 3, two_nodes_killed: 1, node_id_copied: 1, broker_killed: 2, brokers_away: 1,
          views_deleted: 1, view_truncated: 1, view_overwritten: 1, view_spoilt_inside: 1, snapshot_damaged: 2, views_below_the_trim: 1,
          one_command_five_times: 1, foreign_garbage: 1}
