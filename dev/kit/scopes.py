# SPDX-License-Identifier: GPL-2.0
"""Which suites have to run: those that look at something changed since they passed."""

import hashlib
import json
import os
from datetime import datetime
from fnmatch import fnmatchcase

from kit.common import BUILD, ROOT, Failure, run
from kit.commits import tree_entries
from kit.worktree import BUILT_REF, built, edits, newer

TABLE = ROOT / "dev/tests/scopes"
PASSED = BUILD / "logs/passed"
# They look at the repository as a whole.
OF_ALL = ("10-static", "20-series")
VARIABLES = ("APPEND", "CONFIG", "LINUX", "LONG", "ONLY")
INSTALLED = "/var/lib/dpkg/status"


def read_table(text, names):
    """[(pattern, suites)], in order."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    unknown = {name for row in rows for name in row[1:]} - set(names)
    if unknown:
        raise Failure(f"{TABLE.name}: no suite {', '.join(sorted(unknown))}: mend {TABLE}")
    return [(row[0], row[1:]) for row in rows]


def looks_at(table, suite, path):
    if suite in OF_ALL:
        return True
    if path.startswith("dev/tests/") and path.rpartition("/")[2][:2].isdigit():
        return path == f"dev/tests/{suite}"
    for pattern, suites in table:
        if fnmatchcase(path, pattern):
            return suite in suites
    return True


def files():
    """{path: digest} of what is or could be committed."""
    names = [name for name in run("git", "ls-files", "-co", "--exclude-standard", "-z", cwd=ROOT).decode().split("\0")
             if name and (ROOT / name).is_file()]
    digests = run("git", "hash-object", "--stdin-paths", cwd=ROOT, data="\n".join(names).encode()).decode().split()
    return dict(zip(names, digests))


def edited_elsewhere():
    """Edits in build/linux are not in the repository yet."""
    return built() and (edits() or newer(tree_entries(BUILT_REF)))


class Passed:
    """What is known of suites that passed, in build/logs/passed."""

    def __init__(self, names):
        self.table = read_table(TABLE.read_text(), names)
        with open(INSTALLED, "rb") as installed:
            self.surroundings = hashlib.sha256(installed.read()).hexdigest()
        self.surroundings += "".join(f" {name}={os.environ.get(name)}" for name in VARIABLES)
        self.known = not edited_elsewhere()
        self.files = files()

    def digest(self, suite, current=None):
        """Of all that the verdict of a suite hangs on."""
        lines = [f"{path} {digest}" for path, digest in sorted((current or self.files).items())
                 if looks_at(self.table, suite, path)]
        return hashlib.sha256("\n".join([self.surroundings, *lines]).encode()).hexdigest()

    def find(self, suite):
        """What a suite said when it passed with all that it looks at as it is now, or None."""
        try:
            found = json.loads((PASSED / suite).read_text())
        except (OSError, ValueError):
            return None
        return found if self.known and found.get("digest") == self.digest(suite) else None

    def add(self, suite, report):
        """A suite has ended that was begun with the files as they are known here."""
        (PASSED / suite).unlink(missing_ok=True)
        digest = self.digest(suite)
        if self.known and not report.failures and not edited_elsewhere() and self.digest(suite, files()) == digest:
            PASSED.mkdir(parents=True, exist_ok=True)
            when = f"{datetime.now():%Y-%m-%d %H:%M}"
            (PASSED / suite).write_text(json.dumps(
                {"digest": digest, "passed": report.passed, "skipped": report.skipped, "when": when}))
