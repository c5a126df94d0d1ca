"""Trees as lists of items, which a seed draws, which can be thinned out, and which are made twice the same."""
import os
import random
import shutil
import stat
import struct
import time
from dataclasses import dataclass, replace

from looked import ACCESS, DEFAULT

NAMES = [b"a", b"b", b"c", b"d", b"a.o", b"b.o", b"keep.o", b"x.c", b"x[1]", b"*", b"-n", b" blank ", b"new\nline", b"\xff\xfe", b".hidden",
         b"core", b"a.o.o", b"tmp", "\u00e9".encode(), b"n" * 255]
SIZES = [0, 1, 100, 5000, 5000, 70000, 262144, 262145, 600000]
TIMES_NS = [second * 10**9 + ns for second, ns in
            [(1_500_000_000, 0), (1_500_000_000, 999_999_999), (1_600_000_000, 5), (1_600_000_001, 0), (1_700_000_000, 123_456_789), (-10**9, 0)]]
MODES = {"file": [0o644, 0o644, 0o600, 0o755, 0o400, 0o664, 0o4755, 0o2711, 0], "folder": [0o755, 0o755, 0o700, 0o555, 0o2775, 0o1777, 0o500]}
OWNERS = [(0, 0), (0, 0), (65534, 65534), (1, 2), (12345, 54321)]
MARKS = [((b"user.a", b"1"),), ((b"user.a", b"2"), (b"user.empty", b"")), ((b"user.large", b"\0x" * 700),), ((b"trusted.t", b"root's"),)]


def access_list(*entries):
    """As the kernel keeps it: (tag, rights, number)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xffffffff
LISTS = [access_list((1, 6, NOBODY), (2, 4, 1), (4, 4, NOBODY), (16, 6, NOBODY), (32, 0, NOBODY)),
         access_list((1, 7, NOBODY), (4, 5, NOBODY), (8, 7, 12345), (16, 7, NOBODY), (32, 5, NOBODY))]


TARGET = b"t"
TICK_SECONDS = 0.01  # what is changed later than that has a later time


@dataclass(frozen=True)
class Item:
    path: bytes  # beneath the world
    kind: str  # file, folder, link, fifo, socket, char, block; hard: one more name of what is told by `text`
    mode: int = 0o644
    owner: tuple = (0, 0)
    mtime_ns: int = TIMES_NS[0]
    marks: tuple = ()  # extended attributes
    size: int = 0
    content: int = 0
    hole: bool = False  # its second half
    text: bytes = b""  # of a link

    def line(self):
        """For who looks into a difference."""
        facts = [self.kind, f"{self.mode:04o}", "%d:%d" % self.owner, f"{self.mtime_ns / 1e9:.9f}"]
        facts += [f"{self.size} bytes of {self.content}" + " and a hole" * self.hole] if self.kind == "file" else []
        facts += [repr(self.text)] if self.text else []
        facts += [f"{name.decode()}={value[:20]!r}" for name, value in self.marks]
        return f"{self.path!r}: " + ", ".join(facts)


# --- drawn ------------------------------------------------------------------------------------------------------------

def draw_item(dice, path, kind):
    modes = MODES["folder" if kind == "folder" else "file"]
    item = Item(path, kind, dice.choice(modes), dice.choice(OWNERS), dice.choice(TIMES_NS))
    if kind in ("file", "folder") and dice.random() < 0.25:
        item = replace(item, marks=dice.choice(MARKS))
    if kind in ("file", "folder") and dice.random() < 0.15:
        item = with_list(dice, item)
    if kind == "file":
        item = replace(item, size=dice.choice(SIZES), content=dice.randrange(5), hole=dice.random() < 0.1)
    elif kind == "link":
        item = replace(item, text=dice.choice([b"nowhere", b"..", b"a", b"/etc/passwd", b"x" * 1000]))
    return item


def with_list(dice, item):
    chosen = [(ACCESS, dice.choice(LISTS))]
    if item.kind == "folder" and dice.random() < 0.5:
        chosen.append((DEFAULT, dice.choice(LISTS)))
    return replace(item, marks=tuple(mark for mark in item.marks if mark[0] not in (ACCESS, DEFAULT)) + tuple(chosen))


def draw_kind(dice):
    return dice.choices(["file", "folder", "link", "hard", "fifo", "socket", "char", "block"], [20, 9, 4, 4, 1, 1, 1, 1])[0]


def grow(dice, top, count, leaders=()):
    """A folder `top` and what is in it; hard links may lead to `leaders`, items that are there already."""
    items = [replace(draw_item(dice, top, "folder"), mode=0o755)]
    folders, taken = [top], {top}
    leaders = [item for item in leaders if item.kind not in ("folder", "hard")]
    for _ in range(count):
        path = dice.choice(folders) + b"/" + dice.choice(NAMES)
        kind = draw_kind(dice)
        if path in taken or path.count(b"/") > 6:
            continue
        taken.add(path)
        if kind == "hard":
            if leaders:
                items.append(Item(path, "hard", text=dice.choice(leaders).path))
            continue
        items.append(draw_item(dice, path, kind))
        folders += [path] if kind == "folder" else []
        leaders += [items[-1]] if kind != "folder" else []
    return items


def age(dice, items, move):
    """An older target of these; move(path) says where each would be copied to, or None."""
    found, gone, moved = {}, [], {}
    for item in items:
        path = move(item.path)
        if path is None or path in found or any(path.startswith(name + b"/") for name in gone):
            continue
        new = replace(item, path=path)
        if item.kind == "hard":
            leader = moved.get(item.text)
            new = replace(new, text=leader) if leader and dice.random() < 0.7 else draw_item(dice, path, "file")
        new = aged(dice, new)
        if new is None or new.kind != "folder":
            gone.append(path)
        if new is not None:
            found[path] = new
            if new.kind not in ("folder", "hard"):
                moved[item.path] = path
    return list(found.values())


def aged(dice, item):
    what = dice.choices(["same", "content", "size", "time", "mode", "owner", "marks", "kind", "absent"], [40, 10, 10, 8, 8, 6, 5, 7, 7])[0]
    if what == "same" or item.kind == "hard" and what != "absent":
        return item
    if what == "absent":
        return None
    if what == "kind":
        return draw_item(dice, item.path, dice.choice(["file", "folder", "link", "fifo", "char"]))
    if what in ("content", "size") and item.kind == "file":
        item = replace(item, size=item.size if what == "content" else dice.choice(SIZES), content=item.content + 1)
    if what in ("content", "size", "time"):
        return replace(item, mtime_ns=dice.choice([when for when in TIMES_NS if when != item.mtime_ns]))
    if what == "marks" and item.kind in ("file", "folder"):
        return with_list(dice, item) if dice.random() < 0.5 else replace(item, marks=dice.choice(MARKS + [()]))
    if what == "owner":
        return replace(item, owner=dice.choice(OWNERS))
    return replace(item, mode=dice.choice(MODES["folder" if item.kind == "folder" else "file"]))


# --- made -------------------------------------------------------------------------------------------------------------

def make(root, items):
    """Sources, and after them what is at the target, so that times prove something."""
    root = os.fsencode(root)
    remove_tree(root)
    os.mkdir(root, 0o755)
    made = {}
    for at_target in (False, True):
        _make_all(root, [item for item in items if (item.path.split(b"/")[0] == TARGET) == at_target], made)
        time.sleep(TICK_SECONDS)


def _make_all(root, items, made):
    """What has lost its folder is left out; what has lost its leader is a file."""
    before = len(made)
    for item in items:
        folder = os.path.dirname(item.path)
        if item.path in made or folder and getattr(made.get(folder), "kind", "") != "folder":
            continue
        if item.kind == "hard" and getattr(made.get(item.text), "kind", "folder") == "folder":
            item = replace(item, kind="file", size=10)
        _make_one(root, item)
        made[item.path] = item
    for item in reversed(list(made.values())[before:]):
        if item.kind != "hard":
            _stamp(os.path.join(root, item.path), item)


def _make_one(root, item):
    path = os.path.join(root, item.path)
    if item.kind == "folder":
        os.mkdir(path)
    elif item.kind == "link":
        os.symlink(item.text, path)
    elif item.kind == "hard":
        os.link(os.path.join(root, item.text), path, follow_symlinks=False)
    elif item.kind == "file":
        _write(path, item)
    else:
        kinds = {"fifo": stat.S_IFIFO, "socket": stat.S_IFSOCK, "char": stat.S_IFCHR, "block": stat.S_IFBLK}
        os.mknod(path, kinds[item.kind] | 0o600, os.makedev(1, 3 + item.mode % 2))


def _write(path, item):
    with open(path, "wb") as file:
        half = item.size // 2 if item.hole else item.size
        file.write(random.Random(item.content).randbytes(half))
        file.truncate(item.size)


def _stamp(path, item):
    os.chown(path, *item.owner, follow_symlinks=False)
    if item.kind != "link":
        os.chmod(path, item.mode)
        for name, value in item.marks:
            os.setxattr(path, name, value)
    os.utime(path, ns=(item.mtime_ns, item.mtime_ns), follow_symlinks=False)


def remove_tree(root):
    if os.path.lexists(root):
        shutil.rmtree(root)
