"""The soak: random copies of the real program, told by a seed: /usr/bin/python3 tests/fuzz/soak [OPTIONS] BUILD

Each seed is a story: of one file, here and there, with every option, device and kind of damage (copies.py), or of a tree that is
killed and resumed (trees.py); with --only=beside of trees, options and operands that rsync is given, too (beside.py). After each run it is asked, without haul's code, whether bytes are wrong, whether something was
called durable or up to date that is not, hangs, or is left: processes, journals, temporary names, descriptors, memory beyond
the budget. A broken promise is printed with the line that replays it, the score at the end; the exit code is then 1.

  --seconds=N    how long (60)          --story=SEED   only this one, said step by step; --times=N repeats it
  --seed=N       the first seed (1); the next story has the next one. `random` takes a random one and prints it.
  --only=KIND    copies, trees, beside  --dir=FOLDER   where the files lie (a new folder below /var/tmp)
  --stories=N    so many, and not by time              --failures=N   end after so many broken ones (5)
"""
import argparse
import contextlib
import os
import random
import shlex
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True

import beside  # noqa: E402
import copies  # noqa: E402
import runner  # noqa: E402
import trees  # noqa: E402

KINDS = {"copies": copies.Player, "trees": trees.Player, "beside": beside.Player}


def kind_of(seed, only):
    return only or random.Random(seed).choice(["copies", "copies", "copies", "trees"])


def options_of(arguments):
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--story", type=int)
    parser.add_argument("--stories", type=int)
    parser.add_argument("--failures", type=int, default=5)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--only", choices=sorted(KINDS))
    parser.add_argument("--dir")
    return parser.parse_args(arguments)


def seeds_of(options):
    """The seeds to be played, while there is time."""
    if options.story is not None:
        yield from [options.story] * options.times
        return
    seed = random.SystemRandom().getrandbits(40) if options.seed == "random" else int(options.seed)
    print(f"from seed {seed} on", flush=True)
    end, first = time.monotonic() + options.seconds, seed
    while seed < first + options.stories if options.stories else time.monotonic() < end:
        yield seed
        seed += 1


def report(seed, options, broken):
    only = f" --only={options.only}" if options.only else ""
    print(f"BROKEN PROMISE in story {seed}:", *broken[:40], sep="\n  ")
    print(f"  replay: /usr/bin/python3 tests/fuzz/soak --story={seed}{only} {shlex.quote(options.build)}", flush=True)


def play(players, options):
    failures = 0
    for seed in seeds_of(options):
        kind = kind_of(seed, options.only)
        broken = players[kind].play(seed)
        runner.score.count("stories of " + kind)
        if broken:
            failures += 1
            report(seed, options, broken)
        if failures == options.failures:
            break
    print(*runner.score.lines(), sep="\n")
    print(f"{runner.score['runs']} runs, {failures} stories with a broken promise")
    return failures


def main():
    options = options_of(sys.argv[1:])
    for number in (signal.SIGTERM, signal.SIGHUP):  # nothing stays mounted
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    os.environ.update(LC_ALL="C.UTF-8", ASAN_OPTIONS="exitcode=99:detect_stack_use_after_return=1", UBSAN_OPTIONS="print_stacktrace=1",
                      TSAN_OPTIONS="exitcode=99 report_thread_leaks=0")  # a second signal ends at once
    for name in ("HAUL_RSH", "SSH_AUTH_SOCK"):
        os.environ.pop(name, None)
    build = os.path.abspath(options.build)
    if not os.access(os.path.join(build, "haul"), os.X_OK):
        sys.exit(f"{build}/haul is not there: make build")
    folder = options.dir or tempfile.mkdtemp(prefix="haul-soak.", dir="/var/tmp")
    os.makedirs(folder, exist_ok=True)
    with contextlib.ExitStack() as undone:
        if not options.dir:
            undone.callback(shutil.rmtree, folder, ignore_errors=True)
        players = {kind: KINDS[kind](build, os.path.join(folder, kind), options.story is not None, undone)
                   for kind in ([options.only] if options.only else KINDS)}
        runner.begin(os.path.join(build, "haul"))  # what the players have started is not haul's
        return 1 if play(players, options) else 0


sys.exit(main())
