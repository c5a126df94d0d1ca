"""Runs haul once, sends it the signal that the story wants, waits for everything that it started."""
import ctypes
import collections
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass

from story import RIVAL, WRITE

PR_SET_CHILD_SUBREAPER = 36
MIB = 1 << 20
MEMORY_MIB, MEMORY_BESIDE_MIB = 16, 24  # the default budget; program, libraries and stacks beside any
SAMPLE_SECONDS = 0.01
# A run that hangs sleeps: in all threads, at each look, and next to nothing is read, written or computed meanwhile. One that
# is slow on a busy machine waits for a disk or a processor, or gets something done.
STILL_LOOKS, STILL_TICKS, STILL_BYTES = 60, 25, 64 << 10
SECONDS_MAX = 1800
NOT_ITS_OWN = ("Sanitizer", "runtime error:", "Assertion", "assert", "core dumped")


@dataclass
class Outcome:
    arguments: list
    code: int  # negative: by a signal
    hung: str  # what it was doing when it was given up; "": it ended
    left: list  # command lines of processes that did not end
    events: list
    broken_lines: list
    words: str
    stopped: bool  # the signal was sent
    rival: int | None  # the exit code of a second one that ran beside it
    memory_bytes: int  # most that one process had, as far as it was seen
    memory_allowed_bytes: int

    @property
    def receipt(self):
        return self.events[-1] if self.events and self.events[-1].get("event") == "receipt" else None

    @property
    def crash(self):
        return next((word for word in NOT_ITS_OWN if word in self.words), None)


class Score(collections.Counter):
    """What was played, and the most that was seen."""

    sanitized = False

    def count(self, what, number=1):
        self[what] += number

    def most(self, what, number):
        self[what] = max(self[what], number)

    def take(self, outcome, stop):
        self.count("runs")
        self.count(f"exit code {outcome.code}")
        if stop and outcome.stopped:
            self.count({WRITE: "writes to the source meanwhile", RIVAL: "two at once"}.get(stop.signal, f"signals to the {stop.victim}"))
        receipt = outcome.receipt or {}
        for field in ("bytes_copied", "bytes_kept", "bytes_unread", "bytes_repaired", "bytes_unreadable"):
            self.count(field, receipt.get(field) or 0)
        self.most("most memory beyond the budget, bytes", outcome.memory_bytes + MEMORY_BESIDE_MIB * MIB - outcome.memory_allowed_bytes)

    def lines(self):
        return [f"  {what}: {number}" for what, number in sorted(self.items())]


score = Score()


def begin(haul):
    """Whatever haul starts and leaves behind becomes a child of ours."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with open(haul, "rb") as file:
        Score.sanitized = re.search(rb"__[at]san_init", file.read()) is not None  # its memory is not haul's


def promises(outcome):
    """What is true of every run."""
    if outcome.hung:
        yield outcome.hung
    if outcome.crash:
        yield f"complains: {outcome.crash}"
    for command in outcome.left:
        yield f"left a process behind: {command}"
    if outcome.memory_bytes > outcome.memory_allowed_bytes and not score.sanitized:
        yield f"had {outcome.memory_bytes} bytes of memory, of {outcome.memory_allowed_bytes} allowed"


def memory_allowed(arguments):
    given = [int(kib) / 1024 for kib in re.findall(r"--memory=(\d+)K", " ".join(arguments))]
    return int(max([MEMORY_MIB] + given) + MEMORY_BESIDE_MIB) * MIB


def memory_of(pid):
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:")), 0)
    except OSError:
        return 0


def pids_in(path):
    """Those that programs have written into a file, a line each."""
    try:
        with open(path) as file:
            return [int(line) for line in file]
    except OSError:
        return []


def _children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "?"


def _read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _with_descendants(pids):
    found = list(pids)
    for pid in found:
        for task in glob.glob(f"/proc/{pid}/task/*/children"):
            found += [int(child) for child in _read(task).split() if int(child) not in found]
    return found


class Stillness:
    """Of these processes and all that they have started, looked at once a second."""

    def __init__(self):
        self.looks, self.ticks, self.bytes = 0, 0, 0

    def look(self, pids):
        """true: nothing has moved for so long that it is a hang."""
        pids = _with_descendants(pids)
        stats = [_read(path).rpartition(")")[2].split() for pid in pids for path in glob.glob(f"/proc/{pid}/task/*/stat")]
        stats = [fields for fields in stats if fields]
        ticks = sum(int(fields[11]) + int(fields[12]) for fields in stats)
        moved = sum(int(number) for pid in pids for number in re.findall(r"[rw]char: (\d+)", _read(f"/proc/{pid}/io")))
        asleep = bool(stats) and all(fields[0] in "SZ" for fields in stats)
        if not asleep or abs(ticks - self.ticks) > STILL_TICKS or abs(moved - self.bytes) > STILL_BYTES:
            self.looks, self.ticks, self.bytes = 0, ticks, moved
        self.looks += 1
        return self.looks > STILL_LOOKS

    @staticmethod
    def tell(pids):
        """What each thread is doing."""
        lines = []
        for pid in _with_descendants(pids):
            lines.append(f"{pid} {_command(pid)}: {len(glob.glob(f'/proc/{pid}/fd/*'))} descriptors")
            for task in sorted(glob.glob(f"/proc/{pid}/task/*")):
                words = [_read(f"{task}/{name}").strip() for name in ("comm", "wchan", "syscall")]
                state = _read(f"{task}/stat").rpartition(")")[2].split()[:1]
                stack = re.findall(r"\] (\w+)", _read(f"{task}/stack"))[:6]
                lines.append("  " + " ".join(state + words + stack))
        return "\n      ".join(lines)


def _reap_orphans():
    stillness, looked, end = Stillness(), time.monotonic(), time.monotonic() + SECONDS_MAX
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return []
        if pid == 0:
            if time.monotonic() > looked + 1:
                looked += 1
                if stillness.look(_children()) or looked > end:
                    break
            time.sleep(0.002)
    left = [_command(pid) for pid in _children()]
    for pid in _children():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return left


class _Run:
    """One haul, and what the story does to it while it runs."""

    def __init__(self, arguments, world, stop, out, err):
        self.arguments, self.world, self.stop = arguments, world, stop
        self.stopped, self.hung = False, ""
        self.stillness = Stillness()
        self.rival = None
        self.memory_bytes = self.sampled = self.looked = 0
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=world.root)

    def pids(self):
        return [process.pid for process in (self.process, self.rival) if process] + self.world.server_pids()

    def wait(self):
        began = time.monotonic()
        while self.process.poll() is None or self.rival and self.rival.poll() is None:
            passed = time.monotonic() - began
            if passed > self.sampled:
                self.sampled = passed + SAMPLE_SECONDS
                self.memory_bytes = max([self.memory_bytes] + [memory_of(pid) for pid in [self.process.pid] + self.world.server_pids()])
            if passed > self.looked + 1:
                self.looked = passed
                still = self.stillness.look(self.pids())
                if still or passed > SECONDS_MAX:
                    self._give_up("hangs" if still else f"does not end within {SECONDS_MAX} s")
            if self.stop and not self.stopped and not self.hung and passed >= self.stop.seconds and \
                    (not self.stop.when_journalled or self.world.journal_has_entries()):
                self.stopped = self._interfere()
            time.sleep(0.001 if passed < 1 else 0.02)

    def _give_up(self, how):
        self.hung = f"{how}:\n      {Stillness.tell(self.pids())}"
        for process in filter(None, (self.process, self.rival)):
            process.kill()
            process.wait()

    def _interfere(self):
        if self.stop.signal == WRITE:
            self.world.change_source()
            return True
        if self.stop.signal == RIVAL:
            self.rival = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.DEVNULL, cwd=self.world.root)
            return True
        victims = {"client": lambda: [self.process.pid], "server": self.world.server_pids, "link": getattr(self.world, "link_pids", None)}
        ours = _with_descendants([os.getpid()])  # one that has ended may have left its number to anybody
        pids = [pid for pid in victims[self.stop.victim]() if pid in ours]
        for pid in pids * (2 if self.stop.twice else 1):
            try:
                os.kill(pid, self.stop.signal)
            except ProcessLookupError:
                pass
        return bool(pids)


def run(arguments, world, stop=None):
    with open(world.path("out"), "wb") as out, open(world.path("err"), "wb") as err:
        one = _Run(arguments, world, stop, out, err)
        one.wait()
    left = _reap_orphans()
    events, broken = [], []
    with open(world.path("out"), "rb") as out:
        for line in out:
            try:
                events.append(json.loads(line))
            except ValueError:
                broken.append(line.decode(errors="replace"))
    with open(world.path("err"), "rb") as err:
        words = err.read().decode(errors="replace")
    outcome = Outcome(arguments, one.process.returncode, one.hung, left, events, broken, words, one.stopped,
                      one.rival.returncode if one.rival else None, one.memory_bytes, memory_allowed(arguments))
    score.take(outcome, stop)
    return outcome


class Player:
    """Plays stories of one kind, each from its seed in a folder of its own, which is made anew. What the player attaches or
    mounts goes on the stack `undone` as soon as it is there."""
    story = None

    def __init__(self, build, folder, loud, undone):
        self.haul, self.folder, self.loud = os.path.join(build, "haul"), folder, loud
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)

    def play(self, seed):
        return self.story(seed, os.path.join(self.folder, "story"), self.haul, self.loud).play()
