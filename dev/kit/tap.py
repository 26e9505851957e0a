# SPDX-License-Identifier: GPL-2.0
"""Reads TAP and KTAP: what passed, what failed, and whether the plan was met."""

import re

RESULT = re.compile(r"^(not )?ok\b\s*(\d+)?\s*-?\s*(.*?)\s*(?:(?<!\\)#\s*(.*))?$")
PLAN = re.compile(r"^1\.\.(\d+)\b\s*(?:#\s*(.*))?$")


class Level:
    """One depth of indentation: its plan and its results so far."""

    def __init__(self, indent):
        self.indent = indent
        self.plan = None
        self.count = 0
        self.failed = 0


class Report:
    """The verdict on one suite's output."""

    def __init__(self):
        self.passed = 0
        self.skipped = 0
        self.failures = []
        self._levels = [Level(0)]

    def feed(self, line):
        text = line.expandtabs(8).rstrip()
        body = text.lstrip()
        indent = len(text) - len(body)
        plan, result = PLAN.match(body), RESULT.match(body)
        if body.startswith("Bail out!"):
            self.failures.append(body)
        elif plan:
            self._at(indent).plan = int(plan.group(1))
            if plan.group(1) == "0":
                self._skip_all(plan.group(2) or "")
        elif result:
            self._result(indent, *result.groups())

    def close(self, exit_code):
        """The suite ended: what is missing is a failure too."""
        while len(self._levels) > 1:
            self._leave("the end")
        self._check_plan(self._levels[0], "the suite")
        if not (self.passed or self.skipped or self.failures):
            self.failures.append("ran no test")
        if exit_code and not self.failures:
            self.failures.append(f"every test passed, yet it ended with exit code {exit_code}")

    def _at(self, indent):
        """The level of this indentation, entered if it is deeper than the last."""
        while len(self._levels) > 1 and self._levels[-1].indent > indent:
            self._leave("a subtest without a result")
        if self._levels[-1].indent < indent:
            self._levels.append(Level(indent))
        return self._levels[-1]

    def _leave(self, name):
        level = self._levels.pop()
        self._check_plan(level, name)
        return level

    def _check_plan(self, level, name):
        if level.plan is None and level.count:
            self.failures.append(f"{name}: no plan")
        elif level.plan is not None and level.plan != level.count:
            self.failures.append(f"{name}: {level.plan} tests planned, {level.count} ran")

    def _skip_all(self, directive):
        if re.match(r"skip", directive, re.I):
            self.skipped += 1

    def _result(self, indent, bad, number, name, directive):
        children = None
        while self._levels[-1].indent > indent:
            children = self._leave(name)
        level = self._at(indent)
        level.count += 1
        if number and int(number) != level.count:
            self.failures.append(f"{name}: numbered {number}, is number {level.count}")
        directive = (directive or "").upper()
        if directive.startswith("TODO"):
            self.skipped += 1
        elif bad:
            level.failed += 1
            if not (children and children.failed):
                self.failures.append(name)
        elif children and children.failed:
            level.failed += 1
        elif directive.startswith("SKIP"):
            self.skipped += 1
        elif not children:
            self.passed += 1
