"""Stories of trees: a tree, an old target, some runs of haul -aHX that are killed at random moments, at either end, here and
there, or lose their links (half of them dial again), and between them changes of the source. What looks finished after a kill, or was called durable, has to be finished; a
last run has to make source and target equal, by a comparison that shares no code with haul, and leave nothing behind; one
more has to copy nothing."""
import os
import random
import shlex
import shutil
import signal
import stat
import time
from dataclasses import dataclass

import runner
from looked import look, walk

NAMES = [b"a", b"b", b"file", b"-n", b" blank ", b"new\nline", b"\xff\xfe", b"n" * 200, b"x" * 255, b".hidden", b"sub", b"other",
         b"old", b"late", b"early", b"*.o", b"d", b"e"]
CROWD, CROWD_DESCRIPTORS = 700, 128
SIZES = [0, 1, 100, 4096, 9000, 9001, 65536, 200000, 262144, 262145, 400000, 3 << 20]


# In place of ssh. Each way of the link is a process that can be killed by itself.
LINK = """#!/bin/sh
shift
sh -c 'echo $$ >>{links}; exec cat' | sh -c "echo \\$\\$ >>{pids}; exec $*" | sh -c 'echo $$ >>{links}; exec cat'
"""

# --- trees ------------------------------------------------------------------------------------------------------------

class Grower:
    """Makes and changes a tree, told by its own random numbers."""

    def __init__(self, dice, root):
        self.dice, self.root = dice, root
        os.makedirs(root, exist_ok=True)

    def folders(self):
        return [self.root] + [entry for entry in walk(self.root) if stat.S_ISDIR(os.lstat(entry).st_mode)]

    def new_name(self, folder):
        name = self.dice.choice(NAMES)
        path = os.path.join(folder, name)
        return path if not os.path.lexists(path) else os.path.join(folder, b"%d" % self.dice.randrange(10**6))

    def stamp(self, path):
        if os.path.isdir(path) and not os.path.islink(path) and self.dice.random() < 0.2:
            os.setxattr(path, b"user.folder", b"\0mark")
        when = self.dice.choice([self.dice.randrange(2 * 10**9), self.dice.randrange(-10**9, 5 * 10**9)]) * 10**9
        os.utime(path, ns=(when, when + self.dice.randrange(10**9)), follow_symlinks=False)

    def write(self, path, size):
        with open(path, "wb") as file:
            file.write(self.dice.randbytes(size))
            if size > 100000 and self.dice.random() < 0.3:
                file.truncate(size + (1 << 20))  # a hole
        if self.dice.random() < 0.2:
            os.setxattr(path, b"user.mark", self.dice.randbytes(self.dice.choice([0, 10, 1000])))
        os.chmod(path, self.dice.choice([0o644, 0o600, 0o755, 0o400, 0o4755]))
        self.stamp(path)

    def add(self):
        path = self.new_name(self.dice.choice(self.folders()))
        kind = self.dice.choices(["file", "folder", "link", "hard", "fifo"], [12, 4, 2, 2, 1])[0]
        files = [entry for entry in walk(self.root) if stat.S_ISREG(os.lstat(entry).st_mode)]
        if kind == "folder" and path.count(b"/") < self.root.count(b"/") + 8:
            os.mkdir(path, self.dice.choice([0o755, 0o700, 0o555]))
            self.stamp(path)
        elif kind == "link":
            os.symlink(self.dice.choice([b"nowhere", b"..", b"a", b"/etc/passwd", b"x" * 1000]), path)
            self.stamp(path)
        elif kind == "hard" and files:
            os.link(self.dice.choice(files), path, follow_symlinks=False)
        elif kind == "fifo":
            os.mkfifo(path)
            self.stamp(path)
        else:
            self.write(path, self.dice.choices(SIZES, [3, 3, 8, 6, 6, 3, 2, 2, 1, 1, 1, 1])[0])

    def change(self):
        entries = list(walk(self.root))
        if not entries:
            return self.add()
        path = self.dice.choice(entries)
        what = self.dice.choice(["add", "remove", "write", "stamp", "mode", "move", "swap"])
        folder = stat.S_ISDIR(os.lstat(path).st_mode)
        if what == "remove":
            remove(path)
        elif what == "write" and stat.S_ISREG(os.lstat(path).st_mode):
            self.write(path, self.dice.choice(SIZES[:-1]))
        elif what == "stamp":
            self.stamp(path)
        elif what == "mode" and not os.path.islink(path):
            os.chmod(path, self.dice.choice([0o755, 0o711, 0o500] if folder else [0o644, 0o640, 0o4711]))
        elif what == "move":
            os.rename(path, self.new_name(self.root))
        elif what == "swap":  # another kind takes its name
            remove(path)
            os.symlink(b"a", path) if folder else os.mkdir(path)
        else:
            self.add()


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)


# --- what is true of them ---------------------------------------------------------------------------------------------

def is_ours(name):
    """What haul makes beside files for the time of a copy."""
    last = os.path.basename(name)
    return last.startswith(b".haul-") or (last.startswith(b".") and last.endswith(b".haul"))


def unfinished_that_look_finished(source, target):
    for name, entry in target.items():
        of = source.get(name)
        if of and stat.S_ISREG(entry.kind) and stat.S_ISREG(of.kind) and entry.size == of.size and entry.size > 0 and \
                entry.mtime_ns == of.mtime_ns and entry.content != of.content:
            yield f"{name!r} has the size and time of its source, and other bytes"


def differences(source, target, deletes):
    for name, entry in source.items():
        there = target.get(name)
        if not there:
            yield f"{name!r} is missing"
        elif there != entry and not (not deletes and same_but_twins(entry, there)):
            yield f"{name!r}: {there} in place of {entry}"
    for name in target:
        if name not in source and (deletes or is_ours(name) and not is_orphan(name, source)):
            yield f"{name!r} is left"


def same_but_twins(entry, there):
    """An old name that the source has no more may still be a twin."""
    return set(entry.twins) <= set(there.twins) and entry.__dict__ | {"twins": 0} == there.__dict__ | {"twins": 0}


def is_orphan(name, source):
    """The journal of what the source has no more, and --delete would take."""
    folder, last = os.path.split(name)
    return last.endswith(b".haul") and os.path.join(folder, last[1:-5]) not in source


# --- stories ----------------------------------------------------------------------------------------------------------

@dataclass
class Stop:
    seconds: float
    signal: int
    victim: str  # client, server or link
    twice: bool = False
    when_journalled: bool = False


class Story:
    def __init__(self, seed, folder, haul, loud):
        self.dice, self.root, self.haul, self.loud = random.Random(seed), folder, haul, loud
        self.source, self.target = os.path.join(folder, "source"), os.path.join(folder, "target")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        self.grower = Grower(self.dice, os.fsencode(self.source))
        self.way = self.dice.choice(["local", "local", "push", "pull", "both"])
        self.deletes = self.dice.random() < 0.5
        self.slowest = 0.05
        self.retries = self.dice.choice([0, 3])
        self.crowd = self.dice.random() < 0.1  # so many that not one may keep its descriptor
        with open(self.path("rsh"), "w") as file:
            file.write(LINK.format(pids=shlex.quote(self.path("pids")), links=shlex.quote(self.path("links"))))
        os.chmod(self.path("rsh"), 0o755)

    # What runner.py asks of a world.
    def path(self, name):
        return os.path.join(self.root, name)

    def server_pids(self):
        return runner.pids_in(self.path("pids"))

    def link_pids(self):
        return runner.pids_in(self.path("links"))

    def journal_has_entries(self):
        return True

    def say(self, *words):
        if self.loud:
            print(*words, flush=True)

    def options(self):
        dice = self.dice
        options = ["-aHX", dice.choice(["--force"] if not self.deletes else ["--delete"])]
        options += dice.choice([[], [], ["--memory=2M"], ["--chunk-size=64K"], ["--engine=threads"], ["--engine=sync"],
                                ["--cache=window"], ["-z"] if self.way != "local" else ["--preallocate"]])
        if self.way != "local":
            options += [f"--rsh={self.path('rsh')}", f"--remote-path={self.haul}", f"--retries={self.retries}"]
        return options

    def run(self, stop=None):
        far = {"local": ("", ""), "push": ("", "two:"), "pull": ("one:", ""), "both": ("one:", "two:")}[self.way]
        limit = ["prlimit", f"--nofile={CROWD_DESCRIPTORS}"] if self.crowd else []
        arguments = [*limit, self.haul, "--json", *self.options(), far[0] + self.source + "/", far[1] + self.target]
        for name in ("pids", "links"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))
        self.say(" ".join(map(shlex.quote, arguments)), stop or "")
        began = time.monotonic()
        outcome = runner.run(arguments, self, stop)
        self.slowest = min(1, max(self.slowest, time.monotonic() - began))
        self.say("  ", outcome.code, outcome.words.strip()[-300:])
        return outcome

    def promises(self, outcome):
        yield from runner.promises(outcome)
        torn = 1 if outcome.code == -signal.SIGKILL else 0  # the line that was being written
        if outcome.broken_lines[torn:]:
            yield f"lines that are no JSON: {outcome.broken_lines[:3]}"

    def play(self):
        for _ in range(self.dice.randrange(1, 60)):
            self.grower.add()
        for number in range(CROWD if self.crowd else 0):
            self.grower.write(os.path.join(os.fsencode(self.source), b"crowd-%d" % number), self.dice.randrange(2000))
        if self.dice.random() < 0.5:  # an old target
            shutil.copytree(self.source, self.target, symlinks=True, copy_function=copy_any)
            old = Grower(self.dice, os.fsencode(self.target))
            for _ in range(self.dice.randrange(10)):
                old.change()
        for _ in range(self.dice.randrange(1, 5)):
            victim = self.dice.choice(["client", "server", "link"]) if self.way != "local" else "client"
            number = self.dice.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
            number = signal.SIGKILL if victim == "link" else number
            outcome = self.run(Stop(self.dice.random() * self.slowest, number, victim))
            broken = list(self.promises(outcome))
            if os.path.isdir(self.target):
                source, target = look(self.source, True), look(self.target, True)
                broken += unfinished_that_look_finished(source, target)
                broken += self.durable_that_are_not(outcome, source, target)
            if broken:
                return broken
            for _ in range(self.dice.choice([0, 0, 1, 5])):
                self.grower.change()
        return self.finish()

    def durable_that_are_not(self, outcome, source, target):
        for event in outcome.events:
            if event["event"] != "file" or not event["durable"]:
                continue
            name = os.path.relpath(event["target"]["path"], self.target)
            of, there = source.get(os.fsencode(name)), target.get(os.fsencode(name))
            if of and (not there or there.content != of.content):
                yield f"{name!r} was called durable, and is not there"

    def finish(self):
        outcome = self.run()
        broken = list(self.promises(outcome))
        if outcome.code != 0:
            return broken + [f"exit code {outcome.code}: {outcome.words[-2000:]}"]
        source = look(self.source, True)
        broken += differences(source, look(self.target, True), self.deletes)
        if broken:
            return broken
        outcome = self.run()
        broken = list(self.promises(outcome))
        if outcome.code != 0 or not outcome.receipt or outcome.receipt["bytes_copied"] != 0:
            broken.append(f"once more: {outcome.code}, {outcome.receipt and outcome.receipt['bytes_copied']} bytes copied")
        return broken + list(differences(source, look(self.target, True), self.deletes))


def copy_any(source, target):
    mode = os.lstat(source).st_mode
    if stat.S_ISFIFO(mode):
        os.mkfifo(target)
    else:
        shutil.copy2(source, target)


class Player(runner.Player):
    story = Story
