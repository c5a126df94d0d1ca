"""The files, devices and far sides of one story, and what happens to them between two runs."""
import os
import random
import shutil
import stat
import subprocess
import time
from dataclasses import dataclass

import content
import runner
from story import DEVICE_BYTES

NAME = "target"
JOURNAL_HEADER_BYTES = 128
FAR_SHELL = """#!/bin/sh
# What -e starts: the host, then the command in one word, as ssh has them.
echo $$ >>'{pids}'
shift
exec /bin/sh -c "exec $*"
"""


class Devices:
    """A few loop devices for all stories; none where that is not possible."""

    def __init__(self, folder, undone):
        self.paths = {}
        undone.callback(self.close)
        try:
            for use in ("source", "target"):
                for name, size in DEVICE_BYTES.items():
                    self.paths[use, name] = self._attach(os.path.join(folder, f"{use}-{name}"), size)
        except (OSError, subprocess.CalledProcessError):
            self.close()

    @staticmethod
    def _attach(image, size):
        with open(image, "wb") as file:
            file.truncate(size)
        done = subprocess.run(["losetup", "--find", "--show", image], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def close(self):
        for path in self.paths.values():
            subprocess.run(["losetup", "--detach", path], check=False)
            journal = f"/dev/.{os.path.basename(path)}.haul"
            if os.path.exists(journal):
                os.unlink(journal)
        self.paths = {}


class SickDisk:
    """A file system with bad places, for all stories; none where that is not possible."""

    def __init__(self, build, folder, undone):
        self.top, self.below, self.bad = (os.path.join(folder, name) for name in ("sick", "sick-below", "bad"))
        for name in (self.top, self.below):
            os.makedirs(name)
        self.change([])
        program = os.path.join(build, "tests", "lib", "fuse_faulty")
        words = [program, "--uncached", "--file=source", f"--bad={self.bad}", self.below, self.top]
        done = os.access(program, os.X_OK) and subprocess.run(words, capture_output=True, check=False)
        self.mounted = bool(done) and done.returncode == 0
        if self.mounted:
            undone.callback(subprocess.run, ["umount", self.top], check=False)

    def change(self, places):
        self.places = tuple(places)
        with open(self.bad, "w") as file:
            file.writelines(f"{offset} {length}\n" for offset, length in places)


@dataclass
class File:
    """What there is under a path at one moment."""
    data: bytes
    mode: int
    owner: tuple
    mtime_ns: int
    device: bool

    @property
    def size(self):
        return len(self.data)


@dataclass
class Moment:
    source: File
    target: File | None
    names: tuple  # what lies in the folders of both
    bad: tuple  # (offset, length) of the source that cannot be read


def has_entries(journal):
    try:
        return os.stat(journal).st_size > JOURNAL_HEADER_BYTES
    except FileNotFoundError:
        return False


def look(path):
    try:
        facts = os.stat(path)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(facts.st_mode):
        return None
    return File(content.read(path), stat.S_IMODE(facts.st_mode), (facts.st_uid, facts.st_gid), facts.st_mtime_ns,
                stat.S_ISBLK(facts.st_mode))


class World:
    def __init__(self, root, story, devices, sick, haul):
        self.root, self.story, self.devices, self.sick, self.haul = root, story, devices, sick, haul
        self.sick.change([])
        shutil.rmtree(root, ignore_errors=True)
        for name in ("here", "there", "elsewhere"):
            os.makedirs(self.path(name))
        with open(self.path("rsh"), "w", opener=lambda path, flags: os.open(path, flags, 0o755)) as file:
            file.write(FAR_SHELL.format(pids=self.path("pids")))
        self._make_source()
        self._make_target()

    def path(self, *names):
        return os.path.join(self.root, *names)

    # --- at the start ---

    def _make_source(self):
        story = self.story
        data, holes = content.make(random.Random(story.seed + 1), story.layout)
        if story.source in DEVICE_BYTES:
            self.source = self.source_argument = self.devices.paths["source", story.source]
            content.write(self.source, data, keep_inode=True)
            return
        self.source = self.source_argument = self.path("here", "source")
        if story.source == "sick":  # we look below
            self.source = os.path.join(self.sick.below, "source")
            self.source_argument = os.path.join(self.sick.top, "source")
            content.remove(self.source)
        content.write(self.source, data, holes)
        os.chmod(self.source, story.mode)
        self.set_time(self.source, story.mtime_ns)
        if story.source == "link":
            self.source_argument = self.path("here", "link")
            os.symlink("source", self.source_argument)

    def _make_target(self):
        story, folder = self.story, self.path("there")
        self.target = self.target_argument = os.path.join(folder, NAME)
        if story.target in DEVICE_BYTES:
            self.target = self.target_argument = self.devices.paths["target", story.target]
        elif story.target == "folder":
            self.target_argument = folder
            self.target = os.path.join(folder, os.path.basename(self.source_argument))
        elif story.target == "link":
            self.target = os.path.join(folder, "behind-the-link")
            os.symlink("behind-the-link", self.target_argument)
        if os.path.exists(self.journal()):
            os.unlink(self.journal())  # beside a device: of an earlier story
        self._make_old_target(random.Random(story.seed + 2))
        if story.target == "hard-link" and os.path.exists(self.target):
            os.link(self.target, os.path.join(folder, "other-name"))

    def _make_old_target(self, rng):
        old, source = self.story.old_target, look(self.source)
        size = source.size
        if self.story.target in DEVICE_BYTES:
            data = rng.randbytes(DEVICE_BYTES[self.story.target])
            if old in ("changed", "equal", "equal-and-time"):
                front = source.data if old != "changed" else content.changed(rng, source.data)
                data = front + data[size:]
            content.write(self.target, data, keep_inode=True)
            return
        if old == "none" and self.story.target == "link":
            old = "other"  # nothing is made behind a broken link
        data = {
            "none": lambda: None,
            "other": lambda: rng.randbytes(size),
            "lie": lambda: content.changed(rng, source.data),
            "changed": lambda: content.changed(rng, source.data),
            "equal": lambda: source.data,
            "equal-and-time": lambda: source.data,
            "longer": lambda: source.data + rng.randbytes(1 + rng.randrange(100000)),
            "shorter": lambda: source.data[:rng.randrange(size + 1)],
            "empty": lambda: b"",
            "zeros": lambda: bytes(size),
            "hole": lambda: bytes(size),
        }[old]()
        if data is None:
            return
        content.write(self.target, data, [(0, size)] if old == "hole" else [])
        os.chmod(self.target, rng.choice([0o644, 0o600, 0o777]))
        if old in ("lie", "equal-and-time"):
            self.set_time(self.target, source.mtime_ns)

    @staticmethod
    def set_time(path, mtime_ns):
        os.utime(path, ns=(mtime_ns, mtime_ns))

    # --- for the runner and the model ---

    def server_pids(self):
        return runner.pids_in(self.path("pids"))

    def change_source(self):
        """While it is copied. Its time moves, as for any program that writes."""
        data = content.changed(random.Random(self.story.seed + 3), content.read(self.source))
        content.write(self.source, data, keep_inode=True)

    def journal(self, elsewhere=False):
        """Beside the target, or where --journal=FILE says."""
        if elsewhere:
            return self.path("elsewhere", "kept-here")
        name = NAME if self.story.target == "link" else os.path.basename(self.target)
        return os.path.join(os.path.dirname(self.target), f".{name}.haul")

    def journal_has_entries(self):
        return any(has_entries(self.journal(elsewhere)) for elsewhere in (False, True))

    def make_another_journal(self, rng):
        """In elsewhere/another-journal; false: the file is too small for that."""
        source, target = self.path("elsewhere", "another"), self.path("elsewhere", "another-target")
        size, journal = os.stat(self.source).st_size, self.path("elsewhere", ".another-target.haul")
        if size < 256 * content.KIB:
            return False
        content.write(source, rng.randbytes(size))
        self.set_time(source, os.stat(self.source).st_mtime_ns)
        options = ["--chunk-size=64K", "--sync-every=64K", f"--bwlimit={size // content.KIB}K"]
        process = subprocess.Popen([self.haul, "-q"] + options + [source, target])
        while process.poll() is None and not has_entries(journal):
            time.sleep(0.001)
        process.kill()
        process.wait()
        if not has_entries(journal):
            return False
        os.replace(journal, self.path("elsewhere", "another-journal"))
        return True

    def keep_journal(self):
        """The first one of the story, for the time when it is not true any more."""
        kept = self.path("elsewhere", "journal")
        if os.path.isfile(self.journal()) and not os.path.exists(kept):
            shutil.copyfile(self.journal(), kept)

    def forget_servers(self):
        if os.path.exists(self.path("pids")):
            os.unlink(self.path("pids"))

    def moment(self):
        names = [self.path(folder, name) for folder in ("here", "there") for name in os.listdir(self.path(folder))]
        return Moment(look(self.source), look(self.target), tuple(sorted(names)), self.sick.places)


# --- between two runs -------------------------------------------------------------------------------------------------


def tamper(world, kind, seed):
    """false: there was nothing to do it to."""
    rng = random.Random(seed)
    subject, _, what = kind.partition("-")
    path = {"target": world.target, "source": world.source, "journal": world.journal()}[subject]
    if what == "of-before":
        there = os.path.exists(world.path("elsewhere", "journal"))
    elif what == "of-another":
        there = world.make_another_journal(rng)
    elif what in ("sicken", "mend"):
        there = world.story.source == "sick"
    else:
        there = os.path.isfile(path) or what in ("flip", "change", "evict") and os.path.exists(path)
    if not there:
        return False
    globals()[f"_{subject}_{what.replace('-', '_')}"](world, path, rng)
    return True


def _in_place(path, data):
    content.write(path, data, keep_inode=True)
    if os.path.isfile(path):
        os.truncate(path, len(data))


def _target_flip(world, path, rng):
    _in_place(path, content.changed(rng, content.read(path)))


def _target_evict(world, path, rng):
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def _target_touch(world, path, rng):
    os.utime(path)


def _target_replace(world, path, rng):
    content.write(path + ".new", content.changed(rng, content.read(path)))
    os.rename(path + ".new", path)


def _target_remove(world, path, rng):
    os.unlink(path)


def _target_longer(world, path, rng):
    os.truncate(path, os.stat(path).st_size + 1 + rng.randrange(100000))


def _target_shorter(world, path, rng):
    os.truncate(path, rng.randrange(os.stat(path).st_size + 1))


def _target_time_of_source(world, path, rng):
    world.set_time(path, os.stat(world.source).st_mtime_ns)


def _source_change(world, path, rng):
    _in_place(path, content.changed(rng, content.read(path)))


def _source_change_quietly(world, path, rng):
    facts = os.stat(path)
    _source_change(world, path, rng)
    world.set_time(path, facts.st_mtime_ns)


def _source_replace_quietly(world, path, rng):
    facts = os.stat(path)
    content.write(path + ".new", content.changed(rng, content.read(path)))
    os.chmod(path + ".new", stat.S_IMODE(facts.st_mode))
    world.set_time(path + ".new", facts.st_mtime_ns)
    os.rename(path + ".new", path)


def _source_longer(world, path, rng):
    _in_place(path, content.read(path) + rng.randbytes(1 + rng.randrange(100000)))


def _source_shorter(world, path, rng):
    _in_place(path, content.read(path)[:rng.randrange(os.stat(path).st_size + 1)])


def _source_touch(world, path, rng):
    os.utime(path)


def _source_mode(world, path, rng):
    os.chmod(path, rng.choice([0o644, 0o600, 0o755, 0o440]))


def _source_sicken(world, path, rng):
    size = os.stat(path).st_size
    world.sick.change([(rng.randrange(size + 1), rng.choice([1, 1, 512, 5000, 70000])) for _ in range(rng.randint(1, 4))])


def _source_mend(world, path, rng):
    world.sick.change([])


def _journal_cut(world, path, rng):
    os.truncate(path, rng.randrange(os.stat(path).st_size + 1))


def _journal_flip(world, path, rng):
    data = bytearray(content.read(path))
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        _in_place(path, bytes(data))


def _journal_garbage(world, path, rng):
    _in_place(path, rng.randbytes(rng.choice([1, 100, 128, 300, 5000])))


def _journal_empty(world, path, rng):
    os.truncate(path, min(os.stat(path).st_size, JOURNAL_HEADER_BYTES))


def _journal_of_another(world, path, rng):
    """Of another file that was interrupted, of the same size and time."""
    shutil.copyfile(world.path("elsewhere", "another-journal"), path)


def _journal_of_before(world, path, rng):
    """As an earlier run of this story left it."""
    shutil.copyfile(world.path("elsewhere", "journal"), path)


def _journal_remove(world, path, rng):
    os.unlink(path)
