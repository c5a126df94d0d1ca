"""Broken promises that are known and being mended: reported as a number, not as a failure. An entry goes with its fault;
the list is to be empty. --known=report treats them as any other."""

DEVICES = ("device-small", "device-large")


def _device_up_to_date(case, words):
    """A device's time says nothing about its content."""
    return case.up_to_date and case.story.source in DEVICES and words.startswith("up to date, and yet")


def _settled_too_late(case, words):
    """The journal of a remote target has another chunk size than this run's source was told."""
    return case.story.way in ("pull", "both") and "exit code 12," in words and "not a chunk" in case.outcome.words


FAULTS = {"K1.1": _device_up_to_date, "K4.1": _settled_too_late}


def name_of(case, words):
    return next((name for name, holds in FAULTS.items() if holds(case, words)), None)
