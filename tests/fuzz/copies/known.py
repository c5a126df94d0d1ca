"""Broken promises that are known and being mended: reported as a number, not as a failure. An entry goes with its fault;
the list is to be empty. --known=report treats them as any other."""

DEVICES = ("device-small", "device-large")


def _little_memory_there(case, words):
    return "exit code 22," in words and case.run.value("--far-memory") is not None


def _verify_of_a_device_by_windows(case, words):
    """haul verify --cache=window moves the device's own counters, and takes that for a change."""
    return case.run.verify_only and "exit code 41," in words and (case.story.source in DEVICES or case.story.target in DEVICES)


FAULTS = {"K1.3": _verify_of_a_device_by_windows, "K4.2": _little_memory_there}


def name_of(case, words):
    return next((name for name, holds in FAULTS.items() if holds(case, words)), None)
