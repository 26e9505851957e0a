# SPDX-License-Identifier: GPL-2.0
"""Whether Kbuild builds each file of the series as soon as a patch carries it."""

import re
import subprocess
from pathlib import PurePosixPath

from .commits import BASE_REF, BUILT_REF, LINUX, blobs, git_line, tree_entries

NOT_THE_KERNEL = ("tools/", "Documentation/", "scripts/", "samples/")


def words(text):
    return set(text.replace("\\\n", " ").split())


class State:
    """The tracked files after a patch: those that the series adds or edits."""

    def __init__(self, commit, known):
        self.entries = {path: blob for path, (_, blob) in tree_entries(commit).items()
                        if not path.startswith(NOT_THE_KERNEL)}
        self._known = known

    def text(self, path):
        blob = self.entries.get(path)
        if blob and blob not in self._known:
            self._known.update(blobs([blob]))
        return self._known[blob].decode() if blob else ""

    def named(self, *names):
        return [path for path in self.entries if PurePosixPath(path).name.startswith(names)]


def complaints(now, base, defined):
    """What the makefiles of a state lack or have too early."""
    for path in now.entries.keys() - base.entries.keys():
        makefile, stem = str(PurePosixPath(path).with_name("Makefile")), PurePosixPath(path).stem
        if path.endswith(".c") and f"{stem}.o" not in words(now.text(makefile)):
            yield f"{path}: {makefile} does not build it"
    for makefile in now.named("Makefile", "Kbuild"):
        fresh = words(now.text(makefile)) - words(base.text(makefile))
        for word in sorted(fresh):
            source = f"{PurePosixPath(makefile).parent}/{word[:-2]}.c"
            if word.endswith(".o") and source not in now.entries and f"{word[:-2]}-y" not in fresh:
                yield f"{makefile}: {word}: its source is not there yet"
        for part in re.findall(r"^([\w-]+)-y\s*:=", now.text(makefile), re.M):
            if not {f"{part}.o", f"$({part}-y)"} & words(now.text(makefile)) and f"{part}-y" in fresh:
                yield f"{makefile}: {part}-y: nothing builds it"
        for symbol in re.findall(r"\$\(CONFIG_(\w+)\)", " ".join(fresh)):
            if not defined(symbol, now):
                yield f"{makefile}: CONFIG_{symbol}: no Kconfig has it yet"


def is_defined():
    """A function that says whether a symbol is there in a state; of files not tracked, as they are now."""
    elsewhere = {}

    def defined(symbol, state):
        line = re.compile(rf"^(menu)?config {symbol}$", re.M)
        if any(line.search(state.text(path)) for path in state.named("Kconfig")):
            return True
        if symbol not in elsewhere:
            found = subprocess.run(["grep", "-rlE", "--include=Kconfig*", f"^(menu)?config {symbol}$", LINUX],
                                   capture_output=True, text=True).stdout.split()
            elsewhere[symbol] = bool({path.removeprefix(f"{LINUX}/") for path in found} - set(state.entries))
        return elsewhere[symbol]
    return defined


def check():
    """Complaints about the commits of build/linux."""
    known, defined, found = {}, is_defined(), []
    base = State(BASE_REF, known)
    for commit in git_line("rev-list", "--reverse", f"{BASE_REF}..{BUILT_REF}").split():
        subject = git_line("log", "-1", "--format=%s", commit)
        found += [f"{subject}: {text}" for text in complaints(State(commit, known), base, defined)]
    return found
