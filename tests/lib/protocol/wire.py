"""haul-protocol(7) a second time: frames and their fields, written from the page and not from src/.

The page's tables stand here as tables, so that a difference between page and program shows. A violation of the other
side raises Violation; the caller says BYE and ends.
"""

import os
import select
import struct
import time

import xxhash

VERSION = 2
MAGIC = {"client": b"haul>\r\n\0", "server": b"haul<\r\n\0"}
SEED = {"client": 0x6861756C00000001, "server": 0x6861756C00000002}
TALLY_SEED = 0x6861756C00000001
CHUNK_MIN = 65536
BODY_MAX, PAYLOAD_MAX, OFFSET_MAX = 61440, 16777216, 1 << 62
NO_TAG = 0xFFFFFFFF
UNKNOWN = (1 << 64) - 1

HELLO, REQUEST, REPLY, NOTE, PING, PONG, BYE = range(1, 8)
SENDERS = {HELLO: "both", REQUEST: "client", REPLY: "server", NOTE: "server", PING: "both", PONG: "both", BYE: "both"}

DONE, FAILED, DAMAGED = range(3)
CLASS_FILE, CLASS_CHANGED, CLASS_VERIFICATION, CLASS_PROTOCOL = 2, 4, 6, 10

(DESCRIBE, OPEN, MAP, RECALL, FETCH, EXAMINE, STORE, KEEP, ERASE, SYNC, COMMIT, ABANDON, ADJUST, TOUR, WALK, MAKE, DETAIL,
 DRESS, LIST, MISSING, REMOVE, TAKE, PUT, CANCEL,
 BLOCKS, DIFFER, PRESS, NAMES_OF_LIST, DELIVER) = range(29)

(KIND_NONE, KIND_REGULAR, KIND_FOLDER, KIND_DEVICE, KIND_OTHER, KIND_LINK, KIND_FIFO, KIND_SOCKET,
 KIND_CHARACTER) = range(9)
(JOURNAL_NONE, JOURNAL_FITS, JOURNAL_SOURCE_CHANGED, JOURNAL_TARGET_CHANGED, JOURNAL_DAMAGED,
 JOURNAL_CHUNKS) = range(6)
PIPES = (KIND_FIFO, KIND_SOCKET, KIND_CHARACTER)
NO_DIGEST = bytes(16)

# --- fields: (name, type); a type is a number, bool, text, digest, choices, or another table --------------------------

EVIDENCE = [
    ("grade", "u8"), ("identity", "u64"), ("change", "u64"), ("granularity", "u32"), ("keeps_change", "bool"),
    ("machine", "u64"), ("seen", "i64"), ("medium_device", "u64"), ("medium_inode", "u64"), ("medium_offset", "u64"),
]
FACTS = [
    ("kind", "u8"), ("size", "u64"), ("allocated", "u64"), ("mode", "u32"), ("uid", "u32"), ("gid", "u32"),
    ("mtime_s", "i64"), ("mtime_ns", "u32"), ("ctime_s", "i64"), ("ctime_ns", "u32"), ("device", "u64"),
    ("inode", "u64"), ("rdev", "u64"), ("links", "u32"), ("evidence", EVIDENCE),
]
# Bits of a u64, from bit 0 on: (name, how many).
CHOICES = [
    ("cache", 2), ("resume", 2), ("strict", 1), ("budget_set", 1), ("devices", 1), ("preallocate", 1), ("join", 1),
    ("owner", 2), ("group", 2), ("mode", 2), ("times", 2), ("set_id", 1), ("journal", 1), ("journal_early", 1),
    ("compare_only", 1), ("dry", 1), ("replace_folders", 1), ("xattrs", 2), ("acls", 2),
    ("numeric_ids", 1), ("no_inplace", 1), ("read_errors", 1), ("seals", 1), ("spelled", 1),
]
CHOICES_KNOWN = (1 << sum(bits for _, bits in CHOICES)) - 1
ROOT = [("root", "u32"), ("root_path", "text")]
NAMES = [("user_name", "text"), ("group_name", "text")]
FILE = [
    ("chunk", "u32"), *ROOT, ("path", "text"), ("choices", "choices"), ("budget", "u64"), ("session", "u64"),
    ("expected", "u64"), ("part_start", "u64"), ("part_end", "u64"), ("journal_path", "text"), ("chown", "text"), ("link", "text"), ("hard", "bool"), *NAMES,
    ("source", FACTS),
]
NO_NAMES = {"user_name": b"", "group_name": b""}
NO_ROOT = {"root": 0, "root_path": b"", "earlier": False}
GIVEN = [("length", "u32"), ("digest", "digest")]
ROOM = [("length", "u32")]
COUNTED = [("count", "u32"), ("digest", "digest")]
OPENED = [
    ("fresh", "bool"), ("readable", "bool"), ("journal", "u8"), ("old", "u64"), ("source_proven", "bool"),
    ("target_proven", "bool"), ("chunk", "u32"),
]
REPORT = [
    ("policy", "u8"), ("engine", "u8"), ("policy_why", "text"), ("engine_why", "text"), ("resident_before", "u64"),
    ("resident_peak", "u64"), ("resident_after", "u64"), ("memory_peak", "u64"), ("kernel", "u64"), ("changed", "u8"),
    ("lost", "u8"), ("asked", "u8"), ("reread_cached", "u64"), ("tally_bytes", "u64"), ("tally_sum", "u64"),
]
RANGE = [("offset", "u64"), ("length", "u32")]
CONDITION = [("conditional", "bool"), ("expected", "digest")]
FAILURE = [("class", "u8"), ("errno", "u32"), ("words", "text")]
HELLO_FIELDS = [
    ("capabilities", "u64"), ("choices", "u64"), ("session", "u64"), ("role", "u8"), ("engine", "u8"),
    ("log_level", "u8"), ("lanes", "u32"), ("slots", "u32"), ("controls", "u32"), ("files", "u32"), ("chunk", "u32"),
    ("memory", "u64"), ("ping", "u32"),
]
ALIVE_FIELDS = {PING: [("arrived", "u64")], PONG: [("arrived", "u64"), ("idle", "u64"), ("clock", "u64"), ("halved", "u8")]}
NOTE_FIELDS = [("level", "u8"), ("line", "text")]

# What follows the operation and the job in a request; what follows the status of a reply that is done.
ASKED = {
    DESCRIBE: [("file", FILE)], OPEN: [("file", FILE)], MAP: [("offset", "u64")],
    RECALL: [("offset", "u64"), ("length", "u32")], FETCH: RANGE + CONDITION + [("sparing", "bool")],
    EXAMINE: RANGE + CONDITION + [("medium", "bool"), ("blocks", "bool")],
    STORE: RANGE + [("blank", "bool"), ("partial", "bool"), ("broken", "bool"), ("set", "set"), ("digest", "digest")],
    KEEP: RANGE + [("digest", "digest")], ERASE: RANGE, SYNC: ROOT + [("earlier", "bool")], COMMIT: [("file", FILE)], ABANDON: [],
    ADJUST: [("file", FILE)], TOUR: [("file", FILE)] + GIVEN, WALK: ROOM, MAKE: [("file", FILE)],
    DETAIL: [("file", FILE), ("offset", "u64")] + ROOM, DRESS: [("file", FILE)] + GIVEN, LIST: [("file", FILE), ("offset", "u64")] + ROOM,
    MISSING: [("file", FILE)] + GIVEN, REMOVE: [("file", FILE)], TAKE: [("file", FILE)] + ROOM, PUT: [("file", FILE), ("conditional", "bool")] + GIVEN,
    CANCEL: [], BLOCKS: RANGE, DIFFER: RANGE + [("digest", "digest")], PRESS: [],
    NAMES_OF_LIST: GIVEN, DELIVER: [("file", FILE), ("conditional", "bool")] + GIVEN,
}
ANSWERED = {
    DESCRIBE: [("facts", FACTS), *NAMES, ("journal", "bool")], OPEN: [("facts", FACTS), *NAMES, ("opened", OPENED)],
    MAP: [("start", "u64"), ("end", "u64")], RECALL: [("next", "u64"), ("count", "u32"), ("digest", "digest")],
    FETCH: [("matched", "bool"), ("held", "bool"), ("count", "u32"), ("broken", "bool"), ("set", "set"), ("digest", "digest")], EXAMINE: [("count", "u32"), ("digest", "digest")],
    STORE: [], KEEP: [], ERASE: [], SYNC: [], COMMIT: [("seal", "u64")], ABANDON: [], ADJUST: [],
    TOUR: [], WALK: [("next", "u64")] + COUNTED, MAKE: [("made", "u8"), ("folds", "bool"), ("facts", FACTS)], DETAIL: [("next", "u64")] + COUNTED, DRESS: [],
    LIST: [("next", "u64")] + COUNTED, MISSING: COUNTED, REMOVE: [], TAKE: [("facts", FACTS)] + COUNTED, PUT: [("kept", "u64")],
    CANCEL: [], BLOCKS: COUNTED, DIFFER: [("partial", "bool"), ("set", "set"), ("digest", "digest")], PRESS: [],
    NAMES_OF_LIST: [], DELIVER: [("kept", "u64"), ("seal", "u64")],
}
REPORTED = (COMMIT, ABANDON, ADJUST, MAKE, DRESS, TAKE, DELIVER)

# Wishes for owner, group, mode and times; one that is not LEAVE is kept where that is possible.
KEEP_IT, LEAVE, ARCHIVE, ASKED_FOR = range(4)

NUMBERS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q", "i64": "<q"}


class Violation(Exception):
    """The other side said what the page does not allow."""


class Ended(Exception):
    """The other side is gone, or said BYE."""


BLOCK = 4096
WHOLE = {"sparing": False, "blocks": False, "partial": False, "broken": False, "set": b""}  # chunks without their blocks


def block_digest(data):
    return xxhash.xxh3_64_intdigest(data, 0x626C6F636B73).to_bytes(8, "little")


def blocks_of(data):
    return [data[at:at + BLOCK] for at in range(0, len(data), BLOCK)]


def in_set(blocks, index):
    return index // 8 < len(blocks) and blocks[index // 8] >> index % 8 & 1


def digest_of(data):
    return xxhash.xxh3_128_digest(data)


def evidence(**known):
    """What the facts prove; what is not named is unknown."""
    return dict.fromkeys([name for name, _ in EVIDENCE], 0) | known


def no_facts():
    return dict.fromkeys([name for name, _ in FACTS], 0) | {"evidence": evidence()}


def pack_choices(values):
    bits = values.get("unknown", 0)
    for name, width in reversed(CHOICES):
        bits = bits << width | int(values[name])
    return struct.pack("<Q", bits)


def unpack_choices(bits):
    if bits & ~CHOICES_KNOWN:
        raise Violation(f"choices that are not known: {bits & ~CHOICES_KNOWN:#x}")
    values = {}
    for name, width in CHOICES:
        values[name] = bits & ((1 << width) - 1)
        bits >>= width
    return values


def pack(fields, values):
    """The bytes of a table's fields. Choices stand among the others, each by its name."""
    out = b""
    for name, kind in fields:
        if kind == "choices":
            out += pack_choices(values)
            continue
        value = values[name]
        if isinstance(kind, list):
            out += pack(kind, value)
        elif kind == "bool":
            out += bytes([1 if value else 0])
        elif kind in ("text", "set"):
            out += struct.pack("<H", len(value)) + value
        elif kind == "digest":
            out += value
        else:
            out += struct.pack(NUMBERS[kind], value)
    return out


def unpack_some(fields, data, at):
    """A table's fields from data[at:] on, and where they end."""
    values = {}
    for name, kind in fields:
        if isinstance(kind, list):
            values[name], at = unpack_some(kind, data, at)
            continue
        if kind == "choices":
            values |= unpack_choices(struct.unpack_from("<Q", need(data, at, 8))[0])
            at += 8
            continue
        if kind in ("text", "set"):
            length = 2 + struct.unpack_from("<H", need(data, at, 2))[0]
        else:
            length = 1 if kind == "bool" else 16 if kind == "digest" else struct.calcsize(NUMBERS[kind])
        raw = need(data, at, length)
        at += length
        if kind == "bool":
            if raw[0] > 1:
                raise Violation(f"{name}: a bool of {raw[0]}")
            values[name] = raw[0] == 1
        elif kind == "set":
            values[name] = raw[2:]
            if length > 514:
                raise Violation(f"{name}: a set of {length - 2} bytes")
        elif kind == "text":
            values[name] = raw[2:]
            if b"\0" in raw[2:]:
                raise Violation(f"{name}: a text with NUL in it")
        elif kind == "digest":
            values[name] = raw
        else:
            values[name] = struct.unpack(NUMBERS[kind], raw)[0]
    return values, at


def unpack(fields, data):
    values, end = unpack_some(fields, data, 0)
    if end != len(data):
        raise Violation(f"{len(data) - end} bytes too many")
    return values


def need(data, at, length):
    if at + length > len(data):
        raise Violation("a body that is too short")
    return data[at:at + length]


def tally(offset, length, digest):
    return xxhash.xxh3_64_intdigest(struct.pack("<QI", offset, length) + digest, seed=TALLY_SEED)


class Wire:
    """One end of a session: preambles, frames, keepalive. `us` is "client" or "server"."""

    def __init__(self, us, fd_in, fd_out):
        self.us, self.them = us, "server" if us == "client" else "client"
        self.fd_in, self.fd_out = fd_in, fd_out
        self.ping_s = 1.0
        self.said = time.monotonic()
        self.pending = b""
        self.arrived = self.sent = 0  # bytes after the preambles
        self.told = 0  # of ours, the other side has said

    def greet(self):
        self.write(MAGIC[self.us] + struct.pack("<HHI", VERSION, 0, 0) + b"python".ljust(16, b"\0"))
        self.sent = 0  # before the answer, which may come after a PING of ours
        preamble = self.read(32)
        self.arrived -= 32
        if preamble[:8] != MAGIC[self.them]:
            raise Violation(f"no haul there: {preamble[:8]!r}")
        version = struct.unpack_from("<H", preamble, 8)[0]
        if version != VERSION:
            raise Violation(f"version {version}")

    def write(self, data):
        view = memoryview(data)
        while view:
            count = os.write(self.fd_out, view)
            view = view[count:]
            self.sent += count
        self.said = time.monotonic()

    def read(self, count):
        """Exactly so many bytes; meanwhile PING says that we are here."""
        while len(self.pending) < count:
            quiet = self.said + self.ping_s - time.monotonic()
            ready, _, _ = select.select([self.fd_in], [], [], max(quiet, 0))
            if not ready:
                self.say(PING)
                continue
            data = os.read(self.fd_in, 1 << 20)
            if not data:
                raise Ended("the connection is at its end")
            self.pending += data
            self.arrived += len(data)
        data, self.pending = self.pending[:count], self.pending[count:]
        return data

    def say(self, kind):
        """PING or PONG, with what has arrived here."""
        told = {"arrived": self.arrived, "idle": UNKNOWN, "clock": time.monotonic_ns(), "halved": 0}
        self.send(kind, pack(ALIVE_FIELDS[kind], told))

    def send(self, kind, body=b"", payload=b"", tag=NO_TAG):
        head = struct.pack("<BBHII", kind, 0, len(body), tag, len(payload))
        self.write(head + struct.pack("<I", self.checksum(self.us, head, body)) + body + payload)

    @staticmethod
    def checksum(sender, head, body):
        seed = xxhash.xxh3_64_intdigest(head, seed=SEED[sender])
        return xxhash.xxh3_64_intdigest(body, seed=seed) & 0xFFFFFFFF

    def receive_any(self):
        head = self.read(16)
        kind, zero, body_length, tag, payload_length, checksum = struct.unpack("<BBHIII", head)
        if zero or body_length > BODY_MAX or payload_length > PAYLOAD_MAX:
            raise Violation("the head of a frame")
        if SENDERS.get(kind) not in ("both", self.them):
            raise Violation(f"a frame of type {kind}")
        if (tag == NO_TAG) == (kind in (REQUEST, REPLY)):
            raise Violation(f"the tag {tag:#x} of a frame of type {kind}")
        body = self.read(body_length)
        if self.checksum(self.them, head[:12], body) != checksum:
            raise Violation("a frame with a wrong checksum")
        return kind, tag, body, self.read(payload_length)

    def receive(self):
        """The next frame that is not keepalive; BYE raises Ended."""
        while True:
            kind, tag, body, payload = self.receive_any()
            if kind in (PING, PONG):
                told = unpack(ALIVE_FIELDS[kind], body)["arrived"]
                if not self.told <= told <= self.sent:
                    raise Violation(f"{told} bytes have arrived of {self.sent}, {self.told} had before")
                self.told = told
            if kind == PING:
                self.say(PONG)
            elif kind == BYE:
                why = unpack(FAILURE, body)
                raise Ended(why["words"].decode(errors="replace") if why["class"] else "bye")
            elif kind != PONG:
                return kind, tag, body, payload

    def bye(self, failure_class=0, number=0, words=b""):
        self.send(BYE, pack(FAILURE, {"class": failure_class, "errno": number, "words": words}))
