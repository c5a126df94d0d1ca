"""Stories told to haul and to rsync: the same random trees, an older target, one command. Of what is there afterwards, at the
source and at the target, every difference is a broken promise, but for those that the manual tells (DOCUMENTED). So is a dry run
that changes something or tells something else than what the run then does, a second run that does something, and one that comes
to another end when it is killed, and told again. A story that breaks a promise is told again with less, as long as it still does,
and printed."""
import os
import random
import re
import shlex
import signal
import stat
import subprocess
import time
from dataclasses import dataclass, replace

import command as commands
import forest
import runner
import trees
from looked import look

SECONDS_MAX = 100
ENDS = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT]
THINNED_MAX = 200
NOW = "now"
FAR = """#!/bin/sh
echo $$ >>{pids}
shift
exec /bin/sh -c "exec $*"
"""
# As with command= in the line of a key.
JAIL = """#!/bin/sh
echo $$ >>{pids}
exec {haul} --server --restrict={root}
"""
# What a run ends with, by its meaning.
MEANINGS = {0: "good", 1: "refused", 3: "partly", 11: "partly", 23: "partly", 24: "partly", 25: "max-delete"}


@dataclass
class Run:
    code: int
    out: bytes
    words: str

    @property
    def meaning(self):
        return MEANINGS.get(self.code, f"exit code {self.code}")


@dataclass
class Case:
    """One command beside the other."""
    command: commands.Command
    rsync: Run
    haul: Run
    began_ns: int
    before: dict
    of_rsync: dict
    of_haul: dict


@dataclass
class Difference:
    name: bytes
    what: str
    rsync: object
    haul: object

    def __str__(self):
        return f"{self.name!r}: {self.what}: {self.haul!r}, with rsync {self.rsync!r}"


# --- what is documented -----------------------------------------------------------------------------------------------

def set_id(case, d):
    "Set-user-ID and set-group-ID bits are taken from another machine ... only with -p or -a"
    return d.what == "mode" and not case.command.perms and not (d.rsync ^ d.haul) & ~0o6000


def size_only(case, d):
    "--size-only: Their times stay"
    return d.what == "mtime_ns" and case.command.has("--size-only")


def no_times(case, d):
    "--no-times: The next run then has to compare the contents"
    return d.what == "mtime_ns" and case.command.has("--no-times")


def not_recursive(case, d):
    "With -r a SOURCE may be a folder ...; without, it is skipped with a message, exit code 23 (rsync makes the target's folder first)"
    if case.command.has("-a", "-r"):
        return False
    return d.what == "exit" and d.rsync in ("good", "refused") and d.haul == "partly" or is_target_made(case, d, "haul")


def is_target_made(case, d, without):
    """By one of the two alone; the folder that it is in has another time then."""
    target = os.fsencode(case.command.target.rstrip("/"))
    looks = {"haul": case.of_haul, "rsync": case.of_rsync}
    return target not in case.before and target not in looks[without] and \
        (d.name == target and d.what == "is" or d.name == os.path.dirname(target) and d.what == "mtime_ns")


def folder_of_nothing(case, d):
    "several SOURCEs go into a folder (which rsync does not make where none of them is there, or all are left out)"
    base = os.fsencode(case.command.target.rstrip("/")) + b"/"
    return is_target_made(case, d, "rsync") and not any(name.startswith(base) for name in case.of_haul)


def file_over_folder(case, d):
    "a folder in the place of a file that was named is an error, -T or not (rsync removes an empty one, and knows no -T)"
    return case.haul.code in (11, 23) and ": is a folder" in case.haul.words


def replaced_node(case, d):
    "--no-perms: a new one gets the source's (a node that is made anew is one; rsync gives it what the old one had)"
    was = case.before.get(d.name)
    return d.what == "mode" and not case.command.perms and was and not stat.S_ISREG(case.of_haul[d.name].kind) and d.rsync == was.mode


def link_with_slash(case, d):
    "--files-from: a symbolic link is not followed (also where a slash is behind it, which rsync takes away)"
    return case.haul.code == 23 and "a symbolic link is not followed" in case.haul.words and \
        (d.what in ("exit", "mtime_ns", "kind") or d.what == "is" and not d.haul) and any(name.endswith(b"/") for name in case.command.names)


def chown_of_the_way(case, d):
    "--chown: owner and group of all that is made (rsync leaves the target's own folder, where no source is it)"
    return d.what == "owner" and case.command.has("--chown") and d.name == os.fsencode(case.command.target.rstrip("/")) and \
        d.name not in case.before


def lists_and_perms(case, d):
    "--no-perms: Leave an existing target's permissions as they are, with -A, too (which brings -p back with rsync)"
    return d.what == "mode" and case.command.has("-A") and not case.command.perms


def jail_devices(case, d):
    "--restrict: Devices ... are refused"
    return case.command.jailed and (d.what == "exit" and d.haul == "partly" or d.what in ("is", "kind", "mtime_ns")) and \
        any(stat.S_ISCHR(entry.kind) or stat.S_ISBLK(entry.kind) for entry in case.of_rsync.values())


def jail_set_id(case, d):
    "--restrict: set-id bits are not set"
    return d.what == "mode" and case.command.jailed and not (d.rsync ^ d.haul) & ~0o6000


def jail_marks(case, d):
    "-X: those ... of a --restricted server, user. only"
    return d.what == "marks" and case.command.jailed and \
        [mark for mark in d.rsync if mark[0].startswith(b"user.")] == [mark for mark in d.haul if mark[0].startswith(b"user.")]


def has_joined_files(look):
    """A file of a tree that has other names at the target is replaced by haul; rsync then has to replace all files."""
    return any(name.startswith(b"t/") and stat.S_ISREG(entry.kind) and len(entry.twins) > 1 for name, entry in look.items())


def is_replaced(case):
    return case.command.has("--no-inplace") or has_joined_files(case.before)


def no_inplace(case, d):
    "--no-inplace: its extended attributes and access control lists are only kept by -X and -A (and rsync without --inplace)"
    return d.what in ("marks", "lists", "mode") and is_replaced(case) and not case.command.has("-A" if d.what != "marks" else "-X")


def no_inplace_owner(case, d):
    "--no-inplace: The new file gets the ... owner and group of the old one as far as none are copied (rsync's gets its maker's)"
    if d.what != "owner" or not is_replaced(case):
        return False
    olds = [case.before[name] for name in (d.name, *case.of_haul[d.name].twins) if name in case.before]  # a new name has what the old one has
    return any(all(now in pair for now, pair in zip(d.haul, zip(d.rsync, was.owner))) for was in olds)


def named_file_of_same_time(case, d):
    "A file of a tree that has several (names) there, and another size or time, is always written so (beside its name)"
    was = case.before.get(d.name)
    return d.what == "twins" and was and was.twins == d.haul and case.command.has("-I", "-c")


def folder_of_a_rename(case, d):
    "--no-inplace: write all ... under another name ..., and what is equal is written, too (which changes the folder's time, where none is copied)"
    was = case.before.get(d.name)
    return d.what == "mtime_ns" and is_replaced(case) and was and {NOW, was.mtime_ns} == {d.rsync, d.haul} and stat.S_ISDIR(was.kind)


def named_file_in_place(case, d):
    "In place all names of a target change, which one line notes; but (not) a file of a tree"
    return d.what in ("twins", "content", "size", "mtime_ns", "mode", "owner") and has_joined_files(case.before) and \
        "all of them have the new bytes" in case.haul.words


def twins(case, d):
    "No two files of a command may be one, by whatever name ... is refused before the first byte"
    return case.haul.code == 1 and re.search("get the same name|are the same|are one file", case.haul.words) and case.of_haul == case.before


def link_to_folder(case, d):
    "--ignore-existing: Leave alone what is at the target already (rsync sets the time of a link that has the name of a folder)"
    return d.what == "mtime_ns" and case.command.has("--ignore-existing") and case.of_haul[d.name] == case.before[d.name]


def of_same_time(case, d):
    "--update: Skip files whose target has a later modification time (of rsync's only seconds count; with --modify-window also the same)"
    was, second = case.before.get(d.name), 10**9
    return case.command.has("-u") and (case.command.has("--modify-window") or was and was.content == getattr(case.of_haul.get(d.name), "content", None) and
                                       was.mtime_ns // second == case.of_rsync[d.name].mtime_ns // second)


def existing(case, d):
    "--existing: Make nothing new at the target, not even the folder that it names, which rsync makes"
    target, above = os.fsencode(case.command.target.rstrip("/")) + b"/", os.path.dirname
    if not case.command.has("--existing") or case.of_haul.keys() != case.before.keys():
        return False
    if d.what == "exit":  # where the folder above it is missing, too
        return d.haul == "good" and "mkdir" in case.rsync.words
    return d.what == "is" and not d.haul and target.startswith(d.name + b"/") or \
        d.what == "mtime_ns" and any(above(name) == d.name for name in case.of_rsync if name not in case.of_haul)


def named_file_to_link(case, d):
    "Of a symbolic link the file that it leads to (is written, where a file is named, as with cp)"
    base = os.fsencode(case.command.target.rstrip("/")) + b"/"
    links = [name for name, entry in case.before.items() if stat.S_ISLNK(entry.kind) and name.startswith(base)]
    named = {base + os.path.basename(os.fsencode(source)) for source in case.command.sources}
    return any(link in named for link in links)


DOCUMENTED = [twins, link_to_folder, of_same_time, existing, named_file_to_link, set_id, size_only, no_times, not_recursive, no_inplace,
              no_inplace_owner, named_file_in_place,
              named_file_of_same_time, folder_of_a_rename, folder_of_nothing, chown_of_the_way, file_over_folder, replaced_node, link_with_slash,
              lists_and_perms, jail_devices, jail_set_id, jail_marks]


# --- what is compared -------------------------------------------------------------------------------------------------

FIELDS = ["mode", "owner", "size", "link", "device", "content", "marks", "lists", "twins", "mtime_ns"]


def differences(case):
    for name in sorted(set(case.of_rsync) | set(case.of_haul)):
        one, other = case.of_rsync.get(name), case.of_haul.get(name)
        if not one or not other:
            yield Difference(name, "is", one and stat.filemode(one.kind), other and stat.filemode(other.kind))
        elif one.kind != other.kind:
            yield Difference(name, "kind", stat.filemode(one.kind), stat.filemode(other.kind))
        else:
            for field in FIELDS:
                a, b = getattr(one, field), getattr(other, field)
                if field == "mtime_ns":
                    a, b = (NOW if when >= case.began_ns else when for when in (a, b))
                if a != b:
                    yield Difference(name, field, a, b)


def judge(case):
    # protocol incompatibility: its own, with hard links that filters leave out; and what it does not take without -r
    if case.rsync.code == 2 or "does not work without --recursive" in case.rsync.words:
        return
    for difference in differences(case):
        if not any(rule(case, difference) for rule in DOCUMENTED):
            yield difference.what, str(difference)
    ends = Difference(b"", "exit", case.rsync.meaning, case.haul.meaning)
    if ends.rsync != ends.haul and not any(rule(case, ends) for rule in DOCUMENTED):
        yield "exit", f"exit code {case.haul.code}, of rsync {case.rsync.code}"


def escaped(name):
    """As haul prints it: what is UTF-8 as it is."""
    text = name.decode(errors="surrogateescape").replace("\n", "\\n")
    return b"".join(b"\\%o" % (ord(c) - 0xdc00) if 0xdc80 <= ord(c) <= 0xdcff else c.encode() for c in text)


def untrue_after_an_end(command, outcome, root, before):
    """What was called durable has to be there, and what looks finished has to be. Sources may be gone: they were looked at before."""
    after, base = look(root), os.fsencode(root) + b"/"
    for event in outcome.events:
        if event["event"] == "file" and event["durable"]:
            source, target = (os.fsencode(event[side]["path"]).removeprefix(base) for side in ("source", "target"))
            of, there = before.get(source), after.get(target)
            if of and stat.S_ISREG(of.kind) and (not there or there.content != of.content):  # of names that are no UTF-8 it is not told
                yield f"{target!r} was called durable, and is not what {source!r} is"
    for name, of in before.items() if len(command.sources) == 1 else ():
        target = commands.lands(command, name)
        there = after.get(target)
        if there and there.size == of.size and there.mtime_ns == of.mtime_ns and there.content != of.content and \
                before.get(target) != there:
            yield f"{target!r} has the size and time of its source, and other bytes"


# --- told -------------------------------------------------------------------------------------------------------------

class Story:
    def __init__(self, seed, folder, haul, loud):
        self.folder, self.haul, self.loud = folder, haul, loud
        dice = random.Random(seed)
        self.first = forest.grow(dice, b"s1", dice.choice([3, 10, 30]))
        self.second = forest.grow(dice, b"s2", dice.choice([0, 3, 10]), self.first)
        sources = self.first + self.second
        self.command = commands.draw(dice, sources)
        self.items = sources + self.draw_target(dice, sources)
        self.looks_first, self.again = dice.random() < 0.4, dice.random() < 0.4
        self.ends = dice.random() < 0.5 and [(dice.random(), dice.choice(["client", "client", "server"]), dice.choice(ENDS))
                                             for _ in range(dice.choice([1, 1, 2]))]

    def draw_target(self, dice, sources):
        if dice.random() < 0.2:
            return []
        folders = [os.fsencode(self.command.target.rstrip("/")).split(b"/")]
        items = [replace(forest.draw_item(dice, b"/".join(folders[0][:n + 1]), "folder"), mode=0o755) for n in range(len(folders[0]))]
        items += forest.age(dice, sources, lambda path: commands.lands(self.command, path))
        tops = [item.path for item in items if item.kind == "folder"]
        for _ in range(dice.randrange(6)):
            items += forest.grow(dice, dice.choice(tops) + b"/" + dice.choice(forest.NAMES), dice.choice([0, 1, 4]), items)[dice.randrange(2):]
        return items

    def path(self, name):
        return os.path.join(self.folder, name)

    def write_program(self, name, text):
        with open(self.path(name), "w", opener=lambda path, flags: os.open(path, flags, 0o755)) as file:
            file.write(text)

    def run(self, words):
        with open(self.path("out"), "wb") as out, open(self.path("err"), "wb") as err:
            try:
                code = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=SECONDS_MAX, check=False, cwd="/").returncode
            except subprocess.TimeoutExpired:
                code = -1
        with open(self.path("out"), "rb") as out, open(self.path("err"), "rb") as err:
            return Run(code, out.read(), err.read().decode(errors="replace"))

    def prepare(self, command):
        os.makedirs(self.folder, exist_ok=True)
        self.write_program("rsh", FAR.format(pids=shlex.quote(self.path("pids"))))
        for root in ("haul", "ended"):
            self.write_program(f"jail-{root}", JAIL.format(pids=shlex.quote(self.path("pids")), haul=shlex.quote(self.haul),
                                                           root=shlex.quote(self.path(root))))
        with open(self.path("names"), "wb") as file:
            file.write(b"".join(name + b"\0" for name in command.names))

    def tell(self, command, items):
        """What is broken: [(kind of difference, words)]."""
        self.prepare(command)
        one, other = self.path("rsync"), self.path("haul")
        for root in (one, other):
            forest.make(root, items)
        before = look(other)
        began_ns = time.time_ns() - 10**7
        rsync = commands.of_rsync(command, one, self.folder, True, not has_joined_files(before))
        case = Case(command, self.run(rsync), None, began_ns, before, look(one), None)
        words = commands.of_haul(command, self.haul, other, self.folder, True)
        told = None
        if self.looks_first:
            told = self.run(words[:1] + ["-n", "--itemize-changes"] + words[1:])
            if look(other) != before:
                return [("dry", "a dry run has changed something")]
        began = time.monotonic()
        case.haul = self.run(words[:1] + ["--itemize-changes"] + words[1:])
        took = time.monotonic() - began
        case.of_haul = look(other)
        broken = list(judge(case))
        if told:
            broken += self.compare_dry(case, told)
        if self.again and not broken and case.haul.code == 0:
            broken += self.once_more(case, words)
        if self.ends and not broken:
            broken += self.killed_and_resumed(case, items, took)
        if any(word in case.haul.words for word in runner.NOT_ITS_OWN) or case.haul.code < 0:
            broken.append(("crash", f"crashed, or hangs: {case.haul.code} {case.haul.words[-2000:]}"))
        self.case = case
        return broken

    def compare_dry(self, case, told):
        """But for names of files that have several: what the first one gets the others have in the run."""
        if "haul is restricted" in case.haul.words and "set-user-ID" in case.haul.words:  # of what is not there yet -n does not ask
            return
        base = os.fsencode(case.command.target.rstrip("/")) + b"/"
        several = {escaped(name.removeprefix(base).removeprefix(b"t/")) for looks in (case.before, case.of_haul)
                   for name, entry in looks.items() if name.startswith(b"t/") and len(entry.twins) > 1}
        lines = [sorted(line for line in run.out.split(b"\n") if re.match(rb"[<>ch.*][fdLDSd]|\*deleting", line) and
                        not any(line[12:].split(b" => ")[0].endswith(name[-100:]) for name in several)) for run in (told, case.haul)]
        for what, each, other in (("told, and not done", *lines), ("done, and not told", *reversed(lines))):
            unread = case.command.has("-c", "-I", "--no-times") and each is lines[0]  # content is not read by -n, as the manual says
            yield from (("dry", f"{what}: {line!r}") for line in each if line not in other and not (unread and line[2:11] == b"........."))
        if told.meaning != case.haul.meaning:
            yield "dry", f"exit code {told.code} told, then {case.haul.code}: {told.words[-300:]}"

    def once_more(self, case, words):
        run = self.run(words[:1] + ["--itemize-changes"] + words[1:])
        after = look(self.path("haul"))
        if case.command.has("--remove-source-files", "--no-times") or is_replaced(case) and case.command.has("-c", "-I"):
            return
        for name in sorted(set(after) | set(case.of_haul)):
            if after.get(name) != case.of_haul.get(name):
                yield "again", f"a second run changes {name!r}: {case.of_haul.get(name)}, then {after.get(name)}"
        lines = [line for line in run.out.split(b"\n") if re.match(rb"[<>ch*][fdLDSd]", line)]
        if (run.code or lines) and not case.command.has("-I", "--no-inplace"):
            yield "again", f"a second run ends with {run.code}, and tells {lines}"

    # What runner.py asks of a world.
    @property
    def root(self):
        return self.folder

    def server_pids(self):
        return runner.pids_in(self.path("pids"))

    def journal_has_entries(self):
        return True

    def killed_and_resumed(self, case, items, took):
        """The same once more from the start, ended at some moments, on either side, and then left alone."""
        moves = case.command.has("--remove-source-files")
        if case.command.has("-u") and case.command.has("--no-times"):
            return []  # what the first run has finished is newer than its source, and skipped
        if case.command.has("--max-delete") or moves and (case.command.has("--delete", "--delete-excluded") or len(case.command.sources) > 1):
            return []  # what the first run did counts: names that are gone, and sources that are
        root = self.path("ended")
        forest.make(root, items)
        began_ns = time.time_ns() - 10**7
        words = commands.of_haul(case.command, self.haul, root, self.folder, True)
        for part, victim, number in self.ends:
            open(self.path("pids"), "w").close()
            before = look(root)
            outcome = runner.run(words[:1] + ["--json"] + words[1:], self, trees.Stop(part * took, number, victim))
            broken = list(runner.promises(outcome)) + list(untrue_after_an_end(case.command, outcome, root, before))
            if broken:
                return [("ended", what) for what in broken]
        last = self.run(words)
        ended = Case(case.command, case.haul, last, min(case.began_ns, began_ns), case.before, case.of_haul, look(root))
        broken = [("ended", f"{d.name!r}: {d.what}: {d.haul!r}, and {d.rsync!r} undisturbed; ends: {self.ends}, of {took:.3f} s")
                  for d in differences(ended) if not (case.command.has("--remove-source-files") and d.what == "mtime_ns")]
        if last.meaning != case.haul.meaning:
            broken.append(("ended", f"exit code {last.code} in place of {case.haul.code}: {last.words[-600:]}"))
        return broken

    # --- thinned out ---

    def breaks(self, command, items, kind):
        return any(what == kind for what, _ in self.tell(command, items))

    def thin(self, broken):
        """As little as still breaks the first promise."""
        kind, command, items = broken[0][0], self.command, self.items
        if kind == "ended":  # whether it comes again is up to moments
            return command, items
        left = THINNED_MAX
        for flag in ("looks_first", "again", "ends"):
            kept = getattr(self, flag)
            setattr(self, flag, False)
            if not self.breaks(command, items, kind):
                setattr(self, flag, kept)
        progress = True
        while progress and left > 0:
            progress = False
            for simpler in list(command.thinned()):
                left -= 1
                if self.breaks(simpler, items, kind):
                    command, progress = simpler, True
                    break
            if progress:
                continue
            size = max(1, len(items) // 2)
            while size >= 1 and left > 0:
                at = 0
                while at < len(items) and left > 0:
                    fewer = items[:at] + items[at + size:]
                    left -= 1
                    if {b"s1", b"s2"} <= {item.path for item in fewer} and self.breaks(command, fewer, kind):
                        items, progress = fewer, True
                    else:
                        at += size
                size //= 2
            for at, item in enumerate(items):
                for plain in ({"marks": ()}, {"owner": (0, 0)}, {"mode": 0o755 if item.kind == "folder" else 0o644}, {"hole": False},
                              {"mtime_ns": forest.TIMES_NS[0]}, {"size": min(item.size, 100)}):
                    simpler = replace(items[at], **plain)
                    if simpler != items[at] and left > 0:
                        left -= 1
                        if self.breaks(command, items[:at] + [simpler] + items[at + 1:], kind):
                            items = items[:at] + [simpler] + items[at + 1:]
        return command, items

    def play(self):
        runner.score.count("runs")
        broken = self.tell(self.command, self.items)
        if not broken:
            return []
        command, items = self.thin(broken)
        broken = broken[0][0] != "ended" and self.tell(command, items) or broken
        return [words for _, words in broken] + self.lines(command, items)

    def lines(self, command, items):
        told = [item.line() for item in items]
        told.append(shlex.join(commands.of_rsync(command, "W", "F", True, not has_joined_files(self.case.before))))
        told.append(shlex.join(commands.of_haul(command, "haul", "W", "F", True)))
        for run, name in ((self.case.rsync, "rsync"), (self.case.haul, "haul")):
            told.append(f"{name}: {run.code}: {run.words.strip()[-600:]} | {run.out[-400:]!r}")
        return told


class Player(runner.Player):
    story = Story
