"""Broken promises that are known and being mended: reported as a number, not as a failure. An entry goes with its fault;
the list is to be empty. --known=report treats them as any other."""


def _little_memory_there(case, words):
    return "exit code 22," in words and case.run.value("--far-memory") is not None


FAULTS = {"K4.2": _little_memory_there}


def name_of(case, words):
    return next((name for name, holds in FAULTS.items() if holds(case, words)), None)
