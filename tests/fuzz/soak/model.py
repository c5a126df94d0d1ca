"""What must be true after a run of haul, said once more and without its code. One function a promise; each gives the
broken promises as sentences."""
import re
from dataclasses import dataclass, replace

from content import BLOCK, digest, digest_of_digests, first_difference
from runner import promises
from story import RIVAL, WRITE

EXIT_FILE, EXIT_PARTIAL, EXIT_VANISHED, EXIT_SIGNAL, EXIT_MISMATCH, EXIT_CHANGED, EXIT_BUSY = 11, 23, 24, 20, 40, 41, 43
SIGNALLED_CODES = range(1, 44)  # of a client whose server was killed: any failure, but an honest one

JOURNAL_NAME = re.compile(r"\.[^/]+\.haul$")


HARMLESS = ("target-evict", "source-mode", "source-mend", "source-sicken")


@dataclass
class Trust:
    """Whose hands were on the files since the last copy that succeeded."""
    untouched: bool = True  # nobody's but haul's
    left_out: int | None = None  # bytes that the last run could not read, and left to the next one
    journal_not_ours: bool = False  # what lies in its place may be no journal: refused, and left alone

    def after_tamper(self, kind):
        if kind not in HARMLESS:
            self.left_out = None
        self.untouched &= kind in HARMLESS
        self.journal_not_ours |= kind in ("journal-garbage", "journal-cut", "journal-flip", "journal-of-before",
                                          "journal-of-another")

    def after_run(self, case):
        if case.run.verify_only or case.run.dry:
            return
        if case.outcome.code == 0 and case.right:
            self.__init__()
        told = case.outcome.code == EXIT_PARTIAL and case.outcome.receipt
        self.left_out = case.outcome.receipt["bytes_unreadable"] if told else None
        self.untouched &= not case.source_moved and not case.story.keeps_journals_elsewhere


@dataclass
class Case:
    """One run, with all that there is to judge it by."""
    story: object
    run: object
    outcome: object
    before: object  # Moment
    after: object
    trust: Trust
    target_path: str
    manifest_chunks: list | None  # as of a journal
    journal_before: list | None  # (offset, length, digest) of the journal that this run finds ...
    journal_chunks: list | None  # ... and leaves

    @property
    def facts_equal_before(self):
        source, target = self.before.source, self.before.target
        window_ns = int(self.run.value("--modify-window") or 0) * 10**9
        return bool(target and not source.device and not target.device and source.size == target.size and
                    abs(source.mtime_ns - target.mtime_ns) <= window_ns)

    @property
    def right(self):
        """Is the target what the source is? Of a device, its front."""
        source, target = self.after.source, self.after.target
        return bool(target) and self.difference is None and (target.device or target.size == source.size)

    @property
    def difference(self):
        """Where it begins; None: there is none, but a target that is longer, or no target at all."""
        source, target = self.after.source, self.after.target
        return first_difference(source.data, target.data[:source.size]) if target else None

    @property
    def up_to_date(self):
        if self.run.words:
            return self.facts_equal_before and not self.run.has("-I", "-c", "--restart")
        return bool(self.outcome.receipt and self.outcome.receipt["up_to_date"])

    @property
    def source_moved(self):
        """The story has written into the source while it was copied."""
        return bool(self.run.stop and self.run.stop.signal == WRITE and self.outcome.stopped)


def judge(case):
    found = list(_of_any_run(case)) + list(_of_the_source(case)) + list(_of_json(case))
    if case.run.verify_only:
        return found + list(_of_verify(case)) + list(_of_nothing_changed(case))
    if case.run.dry:
        return found + list(_of_nothing_changed(case))
    if case.source_moved:
        return found + list(_of_a_moving_source(case))
    found += list(_of_names(case)) + list(_of_behind_the_image(case)) + list(_of_facts(case))
    if case.outcome.code == 0:
        found += list(_of_success(case))
    else:
        found += list(_of_the_journal(case)) + list(_of_what_was_left_out(case))
    return found


# --- every run --------------------------------------------------------------------------------------------------------


def codes_allowed(case):
    run, stop = case.run, case.run.stop
    sick = set()
    if case.before.bad:
        whole = case.before.source.size == 0  # read at once, as it tells no size
        sick = {EXIT_PARTIAL} if run.skips and not whole else {EXIT_FILE}
    if case.source_moved:
        return {0, EXIT_CHANGED} | sick
    if run.verify_only:
        return sick | ({0, EXIT_MISMATCH} if case.before.target else {EXIT_FILE, EXIT_VANISHED})
    target = case.before.target
    too_small = target and target.device and target.size < case.before.source.size
    nowhere = case.story.target == "link" and not target  # nothing is made behind such a link
    codes = {EXIT_FILE} if too_small or nowhere else {0} | sick
    if case.trust.journal_not_ours:
        codes.add(EXIT_FILE)
    if stop and stop.signal == RIVAL:
        return codes | {EXIT_BUSY}
    if stop and not case.outcome.events and case.before == case.after:
        codes.add(-stop.signal)  # it had hardly been started
    if stop and case.outcome.stopped:
        codes |= set(SIGNALLED_CODES) if stop.victim == "server" else {-stop.signal} if stop.signal == 9 else {EXIT_SIGNAL}
    return codes


def _of_any_run(case):
    outcome = case.outcome
    yield from promises(outcome)
    if not outcome.hung and outcome.code not in codes_allowed(case):
        yield f"exit code {outcome.code}, allowed: {sorted(codes_allowed(case))}"
    if outcome.rival is not None and outcome.rival not in codes_allowed(case):
        yield f"the second one beside it ended with {outcome.rival}"
    if outcome.rival is not None and 0 not in (outcome.rival, outcome.code) and not case.trust.journal_not_ours \
            and not case.before.bad:
        yield "of two beside each other none has succeeded"


def _of_the_source(case):
    if case.before.source != case.after.source and not case.source_moved:
        yield "the source is not as it was"


def _of_json(case):
    outcome, receipt = case.outcome, case.outcome.receipt
    if case.run.words:
        return
    for line in outcome.broken_lines:
        yield f"not JSON: {line!r}"
    if any(event.get("v") != 1 for event in outcome.events):
        yield "an event without v 1"
    if outcome.code < 0 or case.run.stop and case.run.stop.twice and outcome.code == EXIT_SIGNAL:
        return  # no time for a receipt
    if not receipt:
        yield "no receipt at the end"
    elif receipt["exit"] != outcome.code:
        yield f"the receipt says exit {receipt['exit']}, the exit code is {outcome.code}"
    elif receipt["durable"] and outcome.code != 0:
        yield "durable, and yet a failure"
    elif outcome.code == 0 and not (receipt["durable"] or receipt["up_to_date"] or receipt["dry_run"] or receipt["compared"]):
        yield "exit 0 without a proof in the receipt"


def _of_a_moving_source(case):
    """It was copied before or after the change, or that is said; a mixture is no copy."""
    lie = case.up_to_date and case.facts_equal_before
    if case.outcome.code == 0 and not case.right and not lie:
        source, target = case.before.source, case.after.target
        if not target or target.data[:source.size] != source.data:
            yield "exit 0, and the target is neither what the source was nor what it is"


def _of_nothing_changed(case):
    source = case.before.source if case.source_moved else case.after.source
    if case.before != replace(case.after, source=source):
        yield "something changed, and nothing was to"


# --- a copy, however it ended -----------------------------------------------------------------------------------------


def _of_names(case):
    """Beside the target a journal may lie, while it is not finished."""
    new = set(case.after.names) - set(case.before.names)
    journals = {name for name in case.after.names if JOURNAL_NAME.search(name)}
    for name in sorted(new - journals - {case.target_path}):
        yield f"left behind: {name}"
    if case.outcome.code == 0 and not case.run.has("--journal"):
        for name in sorted(journals):
            yield f"a journal is left after success: {name}"


def _of_behind_the_image(case):
    before, after, size = case.before.target, case.after.target, case.before.source.size
    if after and after.device and before.data[size:] != after.data[size:]:
        yield "what lies on the device behind the image has changed"


def _of_facts(case):
    """Whatever has the source's size and time has its bytes: the next run would believe it."""
    source, target = case.after.source, case.after.target
    if target is None or target.device or source.device or case.right:
        return
    lie_before = case.facts_equal_before and case.before.target.data == target.data
    if (source.size, source.mtime_ns) == (target.size, target.mtime_ns) and not lie_before:
        yield "the target has the source's size and time, and other bytes"


def _of_the_journal(case):
    """Chunks that are listed as durable are in the target."""
    if case.journal_chunks is None or not case.trust.untouched or not case.after.target:
        return
    last = {offset: (length, wanted) for offset, length, wanted in case.journal_chunks}
    for offset, (length, wanted) in sorted(last.items()):
        if digest(case.after.target.data[offset:offset + length]).hex() != wanted:
            yield f"the journal lists {length} bytes at {offset}, which are not in the target"
            return


def _of_what_was_left_out(case):
    """Of a sick source all is there that can be read; what cannot is told, and in no journal."""
    receipt = case.outcome.receipt
    if case.outcome.code != EXIT_PARTIAL or not receipt or case.run.stop:
        return
    told = [(event["offset"], event["length"]) for event in case.outcome.events if event["event"] == "unreadable"]
    if sum(length for _, length in told) != receipt["bytes_unreadable"] or not told:
        yield f"{receipt['bytes_unreadable']} bytes are unreadable, and {told} are told"
    source, target = bytearray(case.after.source.data), bytearray(case.after.target.data[:case.after.source.size])
    for offset, length in told:
        for block in range(offset, offset + length, BLOCK):
            if not any(start < block + BLOCK and start + bytes > block for start, bytes in case.before.bad):
                yield f"the block at {block} is left out, and can be read"
                return
        source[offset:offset + length] = target[offset:offset + length] = bytes(length)
    if source != target:
        yield f"what can be read is not there, from byte {first_difference(source, target)} on"
    new = set(case.journal_chunks or []) - set(case.journal_before or [])
    if any(at < offset + length and at + bytes > offset for at, bytes, _ in new for offset, length in told):
        yield "what was left out is in the journal"
    if case.journal_chunks is None:
        yield "something was left out, and there is no journal"


# --- success ----------------------------------------------------------------------------------------------------------


def _of_success(case):
    if case.run.has("--journal") and case.journal_chunks is not None:
        yield "the file of --journal is left after success"
    if case.up_to_date:
        yield from _of_up_to_date(case)
        return
    if not case.right:
        yield f"exit 0, and the target differs from the source at byte {case.difference}"
    yield from _of_metadata(case)
    yield from _of_counts(case)
    yield from _of_what_was_copied(case)
    yield from _of_digest(case)
    yield from _of_manifest(case)


def _of_up_to_date(case):
    if case.run.has("-I", "-c", "--restart"):
        yield "up to date, in spite of an option that says to look"
    if not case.facts_equal_before and not (case.outcome.rival is not None and case.right):  # who was faster
        yield "up to date, and yet of another size or time"


def _of_metadata(case):
    source, target = case.after.source, case.after.target
    if target is None or target.device or source.device:
        return
    mode = int(case.run.value("--chmod") or f"{source.mode:o}", 8)
    if target.mtime_ns != source.mtime_ns and not case.run.has("--no-times"):
        yield "the target has another modification time"
    if target.mode != mode and not case.run.has("--no-perms"):
        yield f"the target has mode {target.mode:o}, not {mode:o}"
    if target.owner != source.owner and not case.run.has("--no-owner", "--no-group"):
        yield "the target has another owner"


def _of_counts(case):
    receipt, size = case.outcome.receipt, case.after.source.size
    if not receipt:
        return
    if receipt["bytes_total"] != size:
        yield f"bytes_total {receipt['bytes_total']}, the source has {size}"
    parts = receipt["bytes_copied"] + receipt["bytes_kept"] + receipt["bytes_holes"]
    if parts != size:
        yield f"copied, kept and holes make {parts} of {size}"
    if receipt["bytes_repaired"] > receipt["bytes_copied"]:
        yield "more was repaired than copied"
    if receipt["bytes_durable"] != size:
        yield f"bytes_durable {receipt['bytes_durable']}, the source has {size}"


def _of_what_was_copied(case):
    """Without a journal, no more than the chunks that differed; with one that nobody has touched, no durable chunk."""
    receipt, source, target = case.outcome.receipt, case.after.source, case.before.target
    if not receipt or case.run.resume == "restart" or not target or target.size == 0 or case.outcome.rival is not None:
        return
    if case.journal_before is None:
        chunk = receipt["chunk_bytes"]
        wrong = [at for at in range(0, source.size, chunk) if source.data[at:at + chunk] != target.data[at:at + chunk]]
        most = sum(min(chunk, source.size - at) for at in wrong)
    elif case.trust.untouched:
        most = source.size - sum(length for _, length, _ in {entry[0]: entry for entry in case.journal_before}.values())
    else:
        return
    if case.trust.left_out is not None and case.trust.untouched and case.story.way != "both":
        most = min(most, case.trust.left_out)
    if receipt["bytes_copied"] > most:
        yield f"{receipt['bytes_copied']} bytes were copied, where {most} were enough"


def _of_digest(case):
    receipt = case.outcome.receipt
    if not receipt or receipt["digest"] is None or not case.right:
        return
    wanted = digest_of_digests(case.after.source.data, receipt["chunk_bytes"])
    if receipt["digest"] != wanted:
        yield f"digest {receipt['digest']}, computed: {wanted}"


def _of_manifest(case):
    """It lists every chunk of the target, with the digest that this has."""
    if not case.run.has("--manifest"):
        return
    if case.manifest_chunks is None:
        yield "no manifest, and exit 0"
        return
    end = 0
    for offset, length, wanted in case.manifest_chunks:
        if offset != end or digest(case.after.target.data[offset:offset + length]).hex() != wanted:
            yield f"the manifest is wrong or not in order at byte {end}"
            return
        end = offset + length
    if end != case.after.source.size:
        yield f"the manifest ends at byte {end} of {case.after.source.size}"


# --- haul verify ------------------------------------------------------------------------------------------------------


def _of_verify(case):
    if case.before.target is None or case.outcome.code not in (0, EXIT_MISMATCH):
        return
    equal = case.right
    if case.outcome.code == (EXIT_MISMATCH if equal else 0):
        yield f"verify says {case.outcome.code} of files that are {'equal' if equal else 'different'}"
