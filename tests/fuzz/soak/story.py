"""A story is what one seed stands for: a source, an old target, and runs of haul with what happens between them. It is
drawn before anything runs, so that chance and timing never change what a seed means."""
import random
import signal
from dataclasses import dataclass, field

from content import KIB, MIB, draw_layout, draw_size

DEVICE_BYTES = {"device-small": 2 * MIB + 12 * KIB, "device-large": 5 * MIB}

# What a target may be before the first run.
OLD_TARGETS = ["none", "none", "none", "other", "changed", "changed", "equal", "equal-and-time", "lie", "longer", "shorter",
               "empty", "zeros", "hole"]

# What may happen between two runs (world.py has a function for each).
TAMPERS = ["target-flip", "target-flip", "target-touch", "target-replace", "target-remove", "target-longer",
           "target-shorter", "target-time-of-source", "source-change", "source-change-quietly", "source-replace-quietly",
           "source-longer", "source-shorter", "source-touch", "source-mode", "journal-cut", "journal-flip",
           "source-sicken", "source-mend", "journal-garbage", "journal-empty", "journal-of-before", "journal-of-another", "journal-remove", "target-evict"]


WRITE, RIVAL = 0, -1


@dataclass(frozen=True)
class Stop:
    """A signal for client or server, after so many seconds, or when the journal has its first entries besides. In place
    of one: WRITE, other bytes are written into the source while it is copied; RIVAL, the same command is given again."""
    signal: int
    victim: str
    seconds: float
    when_journalled: bool
    twice: bool = False


@dataclass(frozen=True)
class Run:
    options: tuple
    stop: Stop | None = None
    seconds: float = 0  # a stopped run is slowed down to about this, by --bwlimit
    verify_only: bool = False
    words: bool = False  # without --json

    @property
    def skips(self):
        return self.has("--read-errors=skip")

    def has(self, *options):
        return any(option in self.options for option in options)

    def value(self, name):
        return next((o.split("=", 1)[1] for o in self.options if o.startswith(name + "=")), None)

    @property
    def resume(self):
        """The last of the options about resuming wins."""
        found = [o for o in self.options if o in ("--append", "--append-verify", "--restart")]
        return found[-1].lstrip("-") if found else "default"

    @property
    def dry(self):
        return self.has("-n")


@dataclass(frozen=True)
class Tamper:
    kind: str
    seed: int


@dataclass
class Story:
    seed: int
    source: str  # file, link (symbolic), a file on a sick disk, or a device
    target: str  # file, folder (into it), link, hard-link, or a device
    way: str  # local, push, pull, both
    size: int
    layout: list
    old_target: str
    mode: int
    mtime_ns: int
    based: bool = False  # each run keeps a base for the next
    steps: list = field(default_factory=list)

    @property
    def keeps_journals_elsewhere(self):
        """Then there may be two, of which one is of an earlier day."""
        return any(isinstance(step, Run) and step.has("--journal") for step in self.steps)

    def lines(self):
        yield (f"source {self.source} of {self.size} bytes, {len(self.layout)} pieces; target {self.target}, "
               f"before: {self.old_target}; {self.way}")
        for step in self.steps:
            if isinstance(step, Tamper):
                yield f"  then {step.kind}"
            else:
                yield "  haul " + " ".join(("verify",) * step.verify_only + step.options) + (f"  # {step.stop}" if step.stop else "")


def draw(seed, devices=True, sick=True):
    rng = random.Random(seed)
    kinds = ["file"] * 8 + ["link"] + (["device-small"] * 2 if devices else []) + (["sick"] * 2 if sick else [])
    source = rng.choice(kinds)
    target = rng.choice(["file"] * 8 + ["folder", "link", "hard-link"] + (["device-small", "device-large"] if devices else []))
    way = rng.choice(["local", "local", "local", "push", "pull", "both"])
    size = DEVICE_BYTES[source] if source in DEVICE_BYTES else draw_size(rng, DEVICE_BYTES.get(target, 12 * MIB))
    if target in DEVICE_BYTES:
        size = min(size, DEVICE_BYTES[target])
    story = Story(seed, source, target, way, size, draw_layout(rng, size), rng.choice(OLD_TARGETS),
                  rng.choice([0o644, 0o600, 0o755, 0o640, 0o444]), draw_time(rng), rng.random() < 0.3)
    if source == "sick" and rng.random() < 0.8:
        story.steps.append(Tamper("source-sicken", rng.getrandbits(48)))
    for _ in range(rng.choice([1, 1, 2, 2, 3, 4])):
        story.steps.append(draw_run(rng, story))
        for _ in range(rng.choice([0, 0, 1, 1, 2])):
            story.steps.append(Tamper(rng.choice(TAMPERS), rng.getrandbits(48)))
    if source == "sick":
        story.steps.append(Tamper("source-mend", 0))
    story.steps.append(Run(draw_options(rng, story, calm=True)))
    if rng.random() < 0.3:
        story.steps.append(Run(draw_speed(rng, story), verify_only=True))
    return story


def draw_time(rng):
    second = 10 ** 9
    return rng.randrange(1_000_000_000, 1_790_000_000) * second + rng.choice([0, rng.randrange(second), rng.randrange(10) * 100_000_000])


def draw_run(rng, story):
    dice = rng.random()
    if dice < 0.08:
        return Run(draw_speed(rng, story), verify_only=True)
    options = draw_options(rng, story)
    if dice < 0.45 or story.size < 64 * KIB:
        return Run(options, words=rng.random() < 0.1)
    seconds = rng.choice([0.15, 0.3, 0.5])
    victim = "server" if story.way != "local" and rng.random() < 0.3 else "client"
    stop = Stop(rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, WRITE, RIVAL]), victim,
                rng.uniform(0, seconds * 1.2), rng.random() < 0.5, rng.random() < 0.1)
    # Small steps, so that there is something in the journal.
    steps = (f"--sync-every={rng.choice(['64K', '256K', '1M'])}", f"--bwlimit={max(64, int(story.size / seconds) // KIB)}K")
    return Run(tuple(o for o in options if not o.startswith("--sync-every")) + steps, stop, seconds)


def draw_speed(rng, story):
    """Options that must not change the result."""
    options = []
    if rng.random() < 0.5:
        options.append("--engine=" + rng.choice(["auto", "uring", "threads", "sync"]))
    if rng.random() < 0.5:
        options.append("--cache=" + rng.choice(["auto", "direct", "window", "plain"]))
    chunk = rng.choice([None, None, 64 * KIB, 128 * KIB, 256 * KIB, MIB, 2 * MIB])
    if chunk:
        options.append(f"--chunk-size={chunk // KIB}K")
    if rng.random() < 0.3:  # at least two buffers a lane, and there may be four lanes
        most = max(chunk or 0, 64 * KIB) * (2 if story.way == "local" else 8)
        options.append(f"--memory={max(MIB, most * rng.choice([1, 2, 5])) // KIB}K")
    if story.way != "local":
        if rng.random() < 0.3:
            options.append("-z")
        if rng.random() < 0.3:
            options.append(f"--lanes={rng.randint(1, 4)}")
        if rng.random() < 0.2:
            options.append("--timeout=60")
        if rng.random() < 0.2:
            options.append(f"--far-memory={rng.choice(['1M', '2M', '8M'])}")
    return tuple(options)


def draw_options(rng, story, calm=False):
    """calm: the run at the end, which has to put everything right."""
    options = list(draw_speed(rng, story))

    def maybe(probability, *choices):
        if rng.random() < probability:
            options.append(rng.choice(choices))

    maybe(0.5, "--append-verify", "--restart", "-I", "-c") if calm else \
        maybe(0.5, "--append-verify", "--append-verify", "--append", "--restart", "-I", "-c")
    maybe(0.15, "-I", "-c")
    maybe(0.2, "--verify")
    maybe(0.25, "-S")
    maybe(0.3, "--no-preallocate", "--preallocate")
    archive = "-p" if story.source == "link" else "-a"  # which would make a link
    maybe(0.2, "--no-perms", "--no-times", "--no-owner", "--no-group", "--chmod=600", archive, "-p", "--modify-window=1")
    maybe(0.3, "--sync-every=0", "--sync-every=64K", "--sync-every=256K", "--sync-every=1M")
    if story.source == "sick":
        maybe(0.8, "--read-errors=skip", "--read-errors=skip", "--read-errors=stop")
    if story.based:
        options.append("--base-manifest")
    else:
        maybe(0.15, "--manifest")
    maybe(0.5 if story.target in DEVICE_BYTES else 0.1, "--journal")
    maybe(0.1, "-v", "--stats", "--progress", "-q", "-P")
    if not calm:
        maybe(0.05, "-n")
    return tuple(options)
