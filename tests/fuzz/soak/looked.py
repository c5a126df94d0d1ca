"""An exact look at a tree that is there, without haul's code or rsync's."""
import hashlib
import os
import stat
from dataclasses import dataclass

ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"


def walk(root):
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            yield os.path.join(folder, name)


def content_of(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else \
            hashlib.sha256(file.read()).hexdigest()


@dataclass(frozen=True)
class Entry:
    kind: int
    mode: int
    owner: tuple
    mtime_ns: int
    size: int
    link: bytes
    device: int
    content: str
    marks: tuple
    lists: tuple
    twins: tuple  # the names of the same file


def look(root, itself=False):
    """All of it, by names beneath; and itself, by no name."""
    root = os.fsencode(root)
    facts = {os.path.relpath(path, root): os.lstat(path) for path in walk(root)}
    if itself:
        facts[b""] = os.lstat(root)
    twins, found = {}, {}
    for name, st in facts.items():
        if not stat.S_ISDIR(st.st_mode):
            twins.setdefault(st.st_ino, []).append(name)
    for name, st in facts.items():
        path = os.path.join(root, name)
        kind = stat.S_IFMT(st.st_mode)
        regular, link = kind == stat.S_IFREG, kind == stat.S_IFLNK
        names = sorted(map(os.fsencode, os.listxattr(path, follow_symlinks=False)))
        marks = [(each, os.getxattr(path, each, follow_symlinks=False)) for each in names]
        found[name] = Entry(kind, 0 if link else stat.S_IMODE(st.st_mode), (st.st_uid, st.st_gid), st.st_mtime_ns,
                            st.st_size if regular else 0, os.readlink(path) if link else b"", st.st_rdev,
                            content_of(path) if regular else "",
                            tuple(mark for mark in marks if mark[0] not in (ACCESS, DEFAULT)),
                            tuple(mark for mark in marks if mark[0] in (ACCESS, DEFAULT)),
                            tuple(sorted(twins.get(st.st_ino, []))))
    return found
