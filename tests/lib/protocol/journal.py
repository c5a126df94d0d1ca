"""haul-journal(5) a second time, written from the page: what a server needs to keep and to read a journal."""

import fcntl
import os
import struct

import xxhash

MAGIC = b"haulJNL\x1a"
HEADER_BYTES, BATCH_HEAD_BYTES, ENTRY_BYTES, ENTRIES_MAX = 128, 32, 24, 8192
HEADER_SEED, BATCH_SEED = 0x6861756C2D686472, 0x6861756C2D626174
COMPARE, MANIFEST, PART = 1, 2, 4


def name_of(path, part=None):
    """Where the journal of a target is, or of the part (start, end) of it."""
    return beside(path, b"-%d-%d" % (part[0], part[1] - part[0]) if part else b"")


def beside(path, suffix):
    folder, name = os.path.split(path)
    own = b"." + name + b".haul" + suffix
    if len(own) > 255:
        own = b".haul-" + xxhash.xxh3_64_hexdigest(name).encode() + suffix
    return os.path.join(folder, own)


def aside_of(path):
    """Under which name a target is written that takes its own at the end."""
    return beside(path, b"-new")


class Damaged(Exception):
    pass


class Header:
    LAYOUT = struct.Struct("<8sIIQQII QQqII QQqII 16s")

    def __init__(self, session, size, chunk, source, target_inode, flags=0, part=None):
        self.session, self.size, self.chunk, self.flags, self.part = session, size, chunk, flags, part
        self.source = source  # inode, size, seconds, nanoseconds
        self.target_inode = target_inode

    def pack(self):
        inode, size, seconds, ns = self.source
        start, end = self.part or (0, self.size)
        flags = self.flags | (PART if self.part else 0)
        data = self.LAYOUT.pack(MAGIC, 1, flags, self.session, self.size, self.chunk, 0, inode, size, seconds, ns,
                                0, self.target_inode, end, start, 0, 0, bytes(16))
        return data + struct.pack("<Q", xxhash.xxh3_64_intdigest(data, seed=HEADER_SEED))

    @classmethod
    def unpack(cls, data):
        if len(data) < HEADER_BYTES:
            raise Damaged("shorter than a header")
        fields = cls.LAYOUT.unpack(data[:120])
        if xxhash.xxh3_64_intdigest(data[:120], seed=HEADER_SEED) != struct.unpack_from("<Q", data, 120)[0]:
            raise Damaged("the header's checksum")
        magic, version, flags, session, size, chunk, zero, inode, source_size, seconds, ns, zero2 = fields[:12]
        if magic != MAGIC or version != 1 or zero or zero2 or session == 0 or chunk & (chunk - 1):
            raise Damaged("a field of the header")
        part = (fields[14], fields[13]) if flags & PART else None
        if part and (flags & MANIFEST or not 0 <= part[0] < part[1] <= size):
            raise Damaged("a part that is not in the file")
        return cls(session, size, chunk, (inode, source_size, seconds, ns), fields[12], flags & ~PART, part)

    @property
    def chunks(self):
        """Those that it may list."""
        start, end = self.part or (0, self.size)
        return range(start // self.chunk, -(-end // self.chunk))


def batches(header, data):
    """(entries, end) of each good batch of a journal's bytes, in order."""
    at = HEADER_BYTES
    while len(data) - at >= BATCH_HEAD_BYTES:
        checksum, magic, count, session, _stamp = struct.unpack_from("<Q4sIQQ", data, at)
        end = at + BATCH_HEAD_BYTES + count * ENTRY_BYTES
        if magic != b"BTCH" or session != header.session or not 1 <= count <= ENTRIES_MAX or end > len(data):
            return
        if xxhash.xxh3_64_intdigest(data[at + 8:end], seed=header.session ^ BATCH_SEED) != checksum:
            return
        entries = list(struct.iter_unpack("<Q16s", data[at + BATCH_HEAD_BYTES:end]))
        if any(chunk not in header.chunks for chunk, _ in entries):
            return
        yield entries, end
        at = end


def read(path):
    """The header and all entries that may be believed, and the length of that."""
    with open(path, "rb") as file:
        data = file.read()
    header, entries, end = Header.unpack(data), [], HEADER_BYTES
    for batch, end in batches(header, data):
        entries += batch
    return header, entries, end


class Writer:
    """Appends batches. Begin with create() or go_on()."""

    def __init__(self, path, header, fd):
        self.path, self.header, self.fd = path, header, fd
        fcntl.flock(fd, fcntl.LOCK_SH)

    @classmethod
    def create(cls, path, header):
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.write(fd, header.pack())
        os.fdatasync(fd)
        sync_folder(path)
        return cls(path, header, fd)

    @classmethod
    def go_on(cls, path, header, end):
        fd = os.open(path, os.O_RDWR | os.O_APPEND)
        fcntl.flock(fd, fcntl.LOCK_EX)
        os.ftruncate(fd, end)
        os.fsync(fd)
        sync_folder(path)
        return cls(path, header, fd)

    def append(self, entries):
        """entries: (chunk, digest), all durable."""
        for at in range(0, len(entries), ENTRIES_MAX):
            some = entries[at:at + ENTRIES_MAX]
            body = struct.pack("<4sIQQ", b"BTCH", len(some), self.header.session, 0)
            body += b"".join(struct.pack("<Q16s", *entry) for entry in some)
            checksum = xxhash.xxh3_64_intdigest(body, seed=self.header.session ^ BATCH_SEED)
            os.write(self.fd, struct.pack("<Q", checksum) + body)
        os.fdatasync(self.fd)

    def close(self):
        os.close(self.fd)

    def remove(self):
        self.close()
        os.unlink(self.path)
        sync_folder(self.path)


def sync_folder(path):
    fd = os.open(os.path.dirname(path) or b".", os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(fd)
    os.close(fd)
