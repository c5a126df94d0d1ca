"""Runs haul once, sends it the signal that the story wants, waits for everything that it started."""
import ctypes
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass

PR_SET_CHILD_SUBREAPER = 36
NOT_ITS_OWN = ("Sanitizer", "runtime error:", "Assertion", "assert", "core dumped")


@dataclass
class Outcome:
    arguments: list
    code: int  # negative: by a signal
    hung: bool
    left: list  # command lines of processes that did not end
    events: list
    broken_lines: list
    words: str
    stopped: bool  # the signal was sent

    @property
    def receipt(self):
        return self.events[-1] if self.events and self.events[-1].get("event") == "receipt" else None

    @property
    def crash(self):
        return next((word for word in NOT_ITS_OWN if word in self.words), None)


def adopt_orphans():
    """Whatever haul starts and leaves behind becomes a child of ours."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


def _command(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return "?"


def _reap_orphans(seconds):
    end = time.monotonic() + seconds
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return []
        if pid == 0:
            if time.monotonic() > end:
                break
            time.sleep(0.002)
    left = [_command(pid) for pid in _children()]
    for pid in _children():
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return left


def _signal(process, stop, world):
    if stop.signal == 0:
        world.change_source()
        return True
    pids = world.server_pids() if stop.victim == "server" else [process.pid]
    for pid in pids:
        for _ in range(2 if stop.twice else 1):
            try:
                os.kill(pid, stop.signal)
            except ProcessLookupError:
                pass
    return bool(pids)


def _wait(process, stop, world, seconds_max):
    """(was it stopped, did it hang)."""
    began, stopped = time.monotonic(), False
    while process.poll() is None:
        passed = time.monotonic() - began
        if passed > seconds_max:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            return stopped, True
        if stop and not stopped and passed >= stop.seconds and (not stop.when_journalled or world.journal_has_entries()):
            stopped = _signal(process, stop, world)
        time.sleep(0.001 if passed < 1 else 0.02)
    return stopped, False


def run(arguments, world, stop=None, seconds_max=120):
    with open(world.path("out"), "wb") as out, open(world.path("err"), "wb") as err:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=world.root)
        stopped, hung = _wait(process, stop, world, seconds_max)
    left = _reap_orphans(30)
    events, broken = [], []
    with open(world.path("out"), "rb") as out:
        for line in out:
            try:
                events.append(json.loads(line))
            except ValueError:
                broken.append(line.decode(errors="replace"))
    with open(world.path("err"), "rb") as err:
        words = err.read().decode(errors="replace")
    return Outcome(arguments, process.returncode, hung, left, events, broken, words, stopped)
