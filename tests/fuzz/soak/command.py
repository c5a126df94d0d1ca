"""Commands that haul and rsync share, drawn by a seed: options, operands, and the way to the other side."""
import os
from dataclasses import dataclass, replace

BASES = [["-a"]] * 8 + [["-r"], ["-r", "-l"], ["-r", "-l", "-D"], ["-r", "-l", "-p", "-t", "-g", "-o", "-D"], ["-a", "--no-perms"],
                        ["-a", "--no-times"], ["-a", "--no-owner"], ["-a", "--no-group"], []]
OFTEN = [
    (0.4, ["-H"]), (0.2, ["-A"]), (0.3, ["-X"]), (0.1, ["-S"]), (0.05, ["-x"]), (0.1, ["-u"]), (0.06, ["--existing"]),
    (0.06, ["--ignore-existing"]), (0.06, ["--size-only"]), (0.1, ["-c"]), (0.05, ["-I"]), (0.06, ["--max-size=5000", "--max-size=4.9K"]),
    (0.06, ["--min-size=1", "--min-size=70000"]), (0.5, ["--delete", "--delete", "--delete-excluded"]), (0.06, ["--max-delete=2", "--max-delete=0"]),
    (0.15, ["--force"]), (0.12, ["--remove-source-files"]), (0.1, ["--chmod=u+rwX,go-w", "--chmod=D755,F640", "--chmod=a-x"]),
    (0.08, ["--chown=1:2", "--chown=:12345", "--chown=0"]), (0.2, ["--numeric-ids"]), (0.2, ["--no-inplace"]), (0.05, ["--ignore-errors"]),
    (0.05, ["--modify-window=1"]),
]
PATTERNS = ["*.o", "a", "a/", "/a", "/a/", "b/***", "**/c", "/s1/a", "a/b", ".*", "[ab]", "x?c", "*", "*/", "-n", "/a/*", "x\\[1]", "**.o", "/**/b",
            "keep.o", "d/**", "s1", "/s1/", "*[!a]*", "tmp"]
KINDS = ["--exclude={}", "--exclude={}", "--include={}", "--filter=- {}", "--filter=+ {}", "--filter=P {}", "--filter=R {}", "--filter=H {}",
         "--filter=S {}", "--filter=-! {}", "--filter=-s {}", "--filter=-r {}", "--filter=-p {}", "--filter=protect {}", "--filter=exclude,s {}"]
WAYS = ["here", "here", "here", "push", "pull", "both"]
FROM_THERE, TO_THERE = ("pull", "both", "jail-pull"), ("push", "both", "jail-push")


@dataclass(frozen=True)
class Command:
    options: tuple
    sources: tuple  # beneath the world, as they are written
    target: str
    way: str = "here"
    names: tuple = ()  # of --files-from

    def has(self, *options):
        return any(option.partition("=")[0] in options for option in self.options)

    @property
    def jailed(self):
        """To or from a server that is restricted to the world."""
        return self.way.startswith("jail-")

    @property
    def perms(self):
        """Asked for by name."""
        return "--no-perms" not in self.options and self.has("-a", "-p")

    def thinned(self):
        """All that have one word less, and the simpler ways."""
        for at in range(len(self.options)):
            yield replace(self, options=self.options[:at] + self.options[at + 1:])
        for at in range(len(self.sources) if len(self.sources) > 1 else 0):
            yield replace(self, sources=self.sources[:at] + self.sources[at + 1:])
        for at in range(len(self.names)):
            yield replace(self, names=self.names[:at] + self.names[at + 1:])
        if self.way != "here":
            yield replace(self, way="here")
        if self.target.rstrip("/") != self.target:
            yield replace(self, target=self.target.rstrip("/"))


def draw_options(dice):
    options = list(dice.choice(BASES))
    for chance, choices in OFTEN:
        if dice.random() < chance:
            options.append(dice.choice(choices))
    if dice.random() < 0.4:
        rules = [dice.choice(KINDS).format(dice.choice(PATTERNS)) for _ in range(dice.randint(1, 4))]
        options += rules
    return options


def draw_sources(dice, items):
    """items: of the sources s1 and s2."""
    def path(kinds):
        fits = [os.fsdecode(item.path) for item in items if item.kind in kinds]
        return dice.choice(fits)
    shapes = [["s1/"], ["s1/"], ["s1/"], ["s1"], ["s1"], ["s1/", "s2/"], ["s1", "s2"], ["s2/", "s1"], [path(["folder"])],
              [path(["folder"]), path(["folder", "file"]) + dice.choice(["", "/."])], [path(["file", "folder"]), path(["file", "folder"])],
              [path(["folder"]) + "/", path(["file", "folder"])], [path(["file", "folder"])]]
    files = {os.fsdecode(item.path) for item in items if item.kind != "folder"}
    chosen = [name[:-2] if name.endswith("/.") and name[:-2] in files else name for name in dice.choice(shapes)]
    return list(dict.fromkeys(chosen))


def draw(dice, items):
    options = draw_options(dice)
    sources = draw_sources(dice, items)
    target = dice.choice(["t", "t", "t/", "t/", "t/new", "t/a"])
    names = ()
    if dice.random() < 0.1:
        sources = [dice.choice(["s1", "s1/"])]
        beneath = [item.path[3:] for item in items if item.path.startswith(b"s1/") and b"\n" not in item.path and item.path[3:4] not in (b"#", b";")]
        names = tuple(dice.choice(beneath or [b"a"]) + dice.choice([b"", b"", b"/"]) for _ in range(dice.randint(1, 6)))
        names += (b"not/there",) if dice.random() < 0.2 else ()
        options += [option for option in ["-r"] if dice.random() < 0.5]
    if dice.random() < 0.1:
        options.append("--mkpath")
        target = "t/to/it"
    if len(sources) == 1 and not names and dice.random() < 0.05:
        options.append("-T")
    way = dice.choice(WAYS)
    if way in ("push", "pull") and dice.random() < 0.4:
        way = "jail-" + way
    return Command(tuple(options), tuple(sources), target, way, names)


def lands(command, path):
    """Where a source's path would be at the target; None: nowhere. What options leave out is not asked."""
    for source in command.sources:
        name = os.fsencode(source.rstrip("/"))
        content = source.endswith(("/", "/.")) or "-T" in command.options or command.names
        name = name[:-2] if name.endswith(b"/.") else name
        if path != name and not path.startswith(name + b"/"):
            continue
        rest = path[len(name):] if content else b"/" + os.path.basename(name) + path[len(name):]
        return os.fsencode(command.target.rstrip("/")) + rest
    return None


def of_rsync(command, root, folder, as_root, in_place):
    """`root` is the world, `folder` what it is beside."""
    words = ["-pt", "--modify-window=-1"] + ["-og"] * as_root  # as finely as haul compares times, and what it keeps by default
    words += [option.replace("{root}", root) for option in command.options if option not in ("-T", "--no-inplace")]
    words += ["--inplace"] if in_place and "--no-inplace" not in command.options else []
    words += [f"--files-from={folder}/names", "-0"] if command.names else []
    sources = [f"{root}/{source}" for source in command.sources]
    target = f"{root}/{command.target}"
    folder_first = os.path.isdir(sources[0])
    if "-T" in command.options and folder_first:
        sources = [sources[0].rstrip("/") + "/"]
    if folder_first and not os.path.lexists(target):  # else a folder with nothing in it becomes the target
        target = target.rstrip("/") + "/"
    return ["rsync", *words, "--", *sources, target]


def of_haul(command, haul, root, folder, as_root):
    words = [option.replace("{root}", root) for option in command.options]
    words += [f"--files-from={folder}/names", "-0"] if command.names else []
    if command.way != "here":
        program = f"jail-{os.path.basename(root)}" if command.jailed else "rsh"
        words += [f"--rsh={folder}/{program}", f"--remote-path={haul}", "--retries=0"]
    there = "" if command.jailed else f"{root}/"
    from_there = f"one:{there}" if command.way in FROM_THERE else f"{root}/"
    to_there = f"two:{there}" if command.way in TO_THERE else f"{root}/"
    return [haul, *words, "--", *[f"{from_there}{source}" for source in command.sources], f"{to_there}{command.target}"]
