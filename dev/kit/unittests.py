# SPDX-License-Identifier: GPL-2.0
"""What suites written with unittest share: a scratch directory, and their results as TAP."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path


class Scratch(unittest.TestCase):
    """A test with a directory of its own, removed afterwards."""

    def setUp(self):
        self.top = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.top)
        self.env = {**os.environ, "BUILD": str(self.top / "build"), "XDG_CACHE_HOME": str(self.top / "cache"),
                    "PYTHONDONTWRITEBYTECODE": "1", "LINUX": "", "AGAIN": "", "CONFIG": "", "T": "", "WITHIN": ""}

    def call(self, *command, **env):
        done = subprocess.run(command, env={**self.env, **env}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120)
        return done.returncode, done.stdout


class TapResult(unittest.TestResult):
    """Prints each test as it ends."""

    def _line(self, test, bad, text="", directive=""):
        name = f"{type(test).__name__.lower()}: {test._testMethodName[5:].replace('_', ' ')}"
        print(f"{bad}ok {self.testsRun} {name}{directive}", flush=True)
        for line in text.splitlines():
            print(f"# {line}")

    def addSuccess(self, test):
        self._line(test, "")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._line(test, "", directive=f" # SKIP {reason}")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line(test, "not ", self._exc_info_to_string(err, test))

    addError = addFailure


def run_tests(module):
    """Run all tests of a module; returns the exit code."""
    suite = unittest.defaultTestLoader.loadTestsFromModule(module)
    print(f"1..{suite.countTestCases()}", flush=True)
    return 0 if suite.run(TapResult()).wasSuccessful() else 1
