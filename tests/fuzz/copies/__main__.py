"""A differential fuzzer of the real program: /usr/bin/python3 tests/fuzz/copies [OPTIONS] BUILD

Each seed is a story (story.py): a source, an old target, runs of haul with random options, signals and far sides, and
damage between them (world.py). After each run a model that shares no code with haul says what must be true (model.py).
A broken promise is printed with the seed and the line that replays it; the exit code is then 1.

  --seconds=N    how long (60)          --story=SEED   only this one, said step by step; --times=N repeats it
  --seed=N       the first seed (1); the next story has the next one. `random` takes a random one and prints it.
  --dir=FOLDER   where the files lie (a new folder below /var/tmp)
"""
import argparse
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import model  # noqa: E402
import runner  # noqa: E402
import story as stories  # noqa: E402
import world as worlds  # noqa: E402

FAILURES_MAX = 5


class Player:
    def __init__(self, haul, folder, loud):
        self.haul, self.folder, self.loud = haul, folder, loud
        self.devices = worlds.Devices(folder)
        self.runs = 0

    def close(self):
        self.devices.close()

    def play(self, seed):
        """The broken promises of one story. The first run that breaks one ends it."""
        story = stories.draw(seed, bool(self.devices.paths))
        self.world = worlds.World(os.path.join(self.folder, "story"), story, self.devices, self.haul)
        trust = model.Trust()
        self.say(*story.lines())
        for step in story.steps:
            if isinstance(step, stories.Tamper):
                if worlds.tamper(self.world, step.kind, step.seed):
                    trust.after_tamper(step.kind)
                    self.say(f"{step.kind}")
                continue
            broken = self.run(story, step, trust)
            if broken:
                return broken
        return []

    def say(self, *lines):
        if self.loud:
            print(*lines, sep="\n", flush=True)

    def arguments(self, story, step):
        source, target = self.world.source_argument, self.world.target_argument
        far = self.haul + "".join(f" --memory={size}" for size in [step.value("--far-memory")] if size)
        options = [self.option(option) for option in step.options if not option.startswith("--far-memory")]
        if story.way != "local":
            options += [f"--rsh={self.world.path('rsh')}", f"--remote-path={far}"]
        if not step.verify_only and story.target in stories.DEVICE_BYTES:
            options.append("--write-devices")
        if step.verify_only and story.target == "folder":
            target = self.world.target
        if story.way in ("pull", "both"):
            source = "one:" + source
        if story.way in ("push", "both"):
            target = "two:" + target
        return [self.haul] + ["verify"] * step.verify_only + ["--json"] * (not step.words) + options + [source, target]

    def option(self, option):
        files = {"--manifest": self.manifest(), "--journal": self.world.journal(elsewhere=True)}
        return f"{option}={files[option]}" if option in files else option

    def manifest(self):
        return self.world.path("elsewhere", "manifest")

    def run(self, story, step, trust):
        before, journal = self.world.moment(), self.world.journal(step.has("--journal"))
        if os.path.exists(self.manifest()):
            os.unlink(self.manifest())
        self.world.forget_servers()
        journal_before = self.chunks_of(journal)
        arguments = self.arguments(story, step)
        outcome = runner.run(arguments, self.world, step.stop)
        self.runs += 1
        case = model.Case(story, step, outcome, before, self.world.moment(), trust, self.world.target,
                          self.chunks_of(self.manifest()), journal_before, self.chunks_of(journal))
        broken = model.judge(case)
        self.say(f"$ {shlex.join(arguments)}", f"  exit code {outcome.code}" + " (signalled)" * outcome.stopped)
        if broken:
            self.say(outcome.words)
        trust.after_run(case)
        self.world.keep_journal()
        return [f"{shlex.join(arguments)}\n    {words}" for words in broken]

    def chunks_of(self, path):
        """What a journal or manifest lists, as haul prints it."""
        if not os.path.isfile(path):
            return None
        done = subprocess.run([self.haul, "journal", "--json", path], capture_output=True, text=True, check=False)
        events = [json.loads(line) for line in done.stdout.splitlines()]
        return [(e["offset"], e["length"], e["digest"]) for e in events if e["event"] == "chunk"]


def options_of(arguments):
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--story", type=int)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--dir")
    return parser.parse_args(arguments)


def report(seed, build, broken):
    print(f"BROKEN PROMISE in story {seed}:", *broken, sep="\n  ")
    print(f"  replay: /usr/bin/python3 tests/fuzz/copies --story={seed} {shlex.quote(build)}", flush=True)


def play_all(player, options):
    first = random.SystemRandom().getrandbits(40) if options.seed == "random" else int(options.seed)
    end, seed, failures = time.monotonic() + options.seconds, first, 0
    while time.monotonic() < end and failures < FAILURES_MAX:
        broken = player.play(seed)
        if broken:
            failures += 1
            report(seed, options.build, broken)
        seed += 1
    print(f"seeds {first} to {seed - 1}: {seed - first} stories, {player.runs} runs, {failures} broken promises")
    return failures


def play_one(player, options):
    failures = 0
    for _ in range(options.times):
        broken = player.play(options.story)
        if broken:
            failures += 1
            report(options.story, options.build, broken)
    return failures


def main():
    options = options_of(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.environ.update(LC_ALL="C.UTF-8", ASAN_OPTIONS="exitcode=99", UBSAN_OPTIONS="print_stacktrace=1",
                      TSAN_OPTIONS="exitcode=99 report_thread_leaks=0")  # a second signal ends at once
    for name in ("HAUL_RSH", "SSH_AUTH_SOCK"):
        os.environ.pop(name, None)
    haul = os.path.abspath(os.path.join(options.build, "haul"))
    if not os.access(haul, os.X_OK):
        sys.exit(f"{haul} is not there: make build")
    runner.adopt_orphans()
    folder = options.dir or tempfile.mkdtemp(prefix="haul-copies.", dir="/var/tmp")
    os.makedirs(folder, exist_ok=True)
    player = Player(haul, folder, options.story is not None)
    try:
        failures = play_one(player, options) if options.story is not None else play_all(player, options)
    finally:
        player.close()
        if not options.dir:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if failures else 0


sys.exit(main())
