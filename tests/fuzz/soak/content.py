"""Contents that a seed makes again, how they lie in a file, and digests that haul's code does not compute."""
import os

import xxhash

KIB, MIB = 1 << 10, 1 << 20
BLOCK = 4096

# Where programs that copy have their off-by-ones.
EDGES = [0, 1, 511, 512, 513, 4095, 4096, 4097] + [
    chunk * n + by for chunk in (64 * KIB, 256 * KIB, MIB) for n in (1, 2, 3) for by in (-4096, -1, 0, 1, 4096)]


def digest(data):
    return xxhash.xxh3_128_digest(data)


def digest_of_digests(data, chunk_bytes):
    """What the receipt calls the digest: that of the chunk digests in order."""
    return digest(b"".join(digest(data[at:at + chunk_bytes]) for at in range(0, len(data), chunk_bytes))).hex()


def draw_size(rng, most=6 * MIB):
    size = rng.choice([rng.choice(EDGES), rng.choice(EDGES), rng.randrange(200 * KIB), rng.randrange(2 * MIB), rng.randrange(most)])
    return min(size, most)


def draw_layout(rng, size):
    """[(kind, length)]: random bytes, written zeros, holes. Pieces are of blocks, of chunks, or odd."""
    style = rng.choice(["dense", "dense", "dense", "mixed", "mixed", "sparse", "hole"])
    if style in ("dense", "hole"):
        return [("random" if style == "dense" else "hole", size)]
    unit = rng.choice([BLOCK, 64 * KIB, 256 * KIB, 1 + rng.randrange(100 * KIB)])
    layout, left = [], size
    while left > 0:
        length = min(left, unit * rng.randint(1, 8))
        kinds = ["random", "zeros", "hole"] if style == "mixed" else ["random", "hole", "hole", "hole"]
        layout.append((rng.choice(kinds), length))
        left -= length
    return layout


def make(rng, layout):
    """(bytes, [(offset, length) of holes])."""
    parts, holes, at = [], [], 0
    for kind, length in layout:
        parts.append(rng.randbytes(length) if kind == "random" else bytes(length))
        if kind == "hole":
            holes.append((at, length))
        at += length
    return b"".join(parts), holes


def changed(rng, data):
    """Other bytes of the same size: a few flipped, ranges replaced, ranges zeroed."""
    if not data:
        return data
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(out))
        length = min(len(out) - at, rng.choice([1, 1, BLOCK, 64 * KIB, 1 + rng.randrange(300 * KIB)]))
        how = rng.choice(["flip", "flip", "replace", "zero"])
        if how == "flip":
            out[at] ^= 1 << rng.randrange(8)
        else:
            out[at:at + length] = rng.randbytes(length) if how == "replace" else bytes(length)
    return bytes(out)


def write(path, data, holes=(), keep_inode=False):
    """Holes stay holes in a new file. In place when keep_inode, and on devices."""
    flags = os.O_WRONLY | (0 if keep_inode else os.O_CREAT | os.O_TRUNC)
    fd = os.open(path, flags, 0o644)
    try:
        at = 0
        for start, length in list(holes) + [(len(data), 0)]:
            _write_all(fd, data[at:start], at)
            at = start + length
        if not keep_inode:
            os.ftruncate(fd, len(data))
        os.fsync(fd)
    finally:
        os.close(fd)


def remove(path):
    if os.path.exists(path):
        os.unlink(path)


def _write_all(fd, data, at):
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done


def read(path):
    with open(path, "rb", buffering=0) as file:
        parts = []
        while part := file.read(4 * MIB):
            parts.append(part)
        return b"".join(parts)


def first_difference(a, b):
    for at in range(0, max(len(a), len(b)), 64 * KIB):
        if a[at:at + 64 * KIB] != b[at:at + 64 * KIB]:
            one, two = a[at:at + 64 * KIB], b[at:at + 64 * KIB]
            return at + next((i for i, (x, y) in enumerate(zip(one, two)) if x != y), min(len(one), len(two)))
    return None
