# SPDX-License-Identifier: GPL-2.0
"""Which functions a phase of dev/bench spends its instructions in."""

import bisect
import collections
import subprocess

from kit.common import ROOT, Failure

# Phases that begin where luo_bench has reported the one before.
PHASES = ("retrieve", "whole", "touch", "finish")
KERNEL_TEXT = 0xffffffff80000000
# What is left out of a table: less than so many instructions.
LEAST = 0.5


def plugin(directory):
    """The plugin of QEMU that counts."""
    built = directory / "profile_plugin.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", built, ROOT / "dev/kit/profile_plugin.c"], check=True)
    return built


def symbols(binary):
    """The functions of a program or kernel by address."""
    listing = subprocess.run(["nm", "-n", binary], capture_output=True, text=True, check=True).stdout
    found = [line.split() for line in listing.splitlines()]
    return [(int(words[0], 16), words[2]) for words in found if len(words) == 3 and words[1] in "tTwW"]


def options(plugin_file, program, out):
    """What dev/vm needs to write the counts of luo_bench's phases."""
    marks = [address for address, name in symbols(program) if name == "report"]
    if len(marks) != 1:
        raise Failure(f"{program}: has no function report() to know its phases by: mend it")
    return ["--qemu=-plugin", f"--qemu={plugin_file},out={out},mark={marks[0]:x}"]


def counts(out, functions, reported, phase):
    """Instructions of each function in a phase; all that luo_bench reported tells which."""
    if phase not in reported:
        others = ", ".join(name for name in reported if name in PHASES)
        raise Failure(f"this case has no phase {phase}: it has {others}")
    wanted, mark, found = reported.index(phase) + 1, 0, collections.Counter()
    addresses = [address for address, _ in functions]
    for line in out.read_text().splitlines():
        if line == "mark":
            mark += 1
        elif mark == wanted:
            address, instructions, runs = line.split()
            address = int(address, 16)
            name = functions[bisect.bisect(addresses, address) - 1][1] if address >= KERNEL_TEXT else "user space"
            found[name] += int(instructions) * int(runs)
    return found


def table(small, large, units):
    """What each of so many more units costs, by function, the dearest first."""
    costs = sorted((((large[name] - small.get(name, 0)) / units, name) for name in large), reverse=True)
    lines = [f"{cost:8.1f}  {name}" for cost, name in costs if cost >= LEAST]
    rest = sum(cost for cost, _ in costs if cost < LEAST)
    return [*lines, f"{rest:8.1f}  all others", f"{sum(cost for cost, _ in costs):8.1f}  together"]
