# SPDX-License-Identifier: GPL-2.0
"""What dev/bench measures, and the tables and curves made from it."""

import json

from kit.common import BUILD

RESULTS = BUILD / "bench/results.json"
KERNELS = {"mainline": "mainline 7.3", "series": "this series"}
# Kernels for the cost of live update that is off: with the series, and without.
OFF = {"off": "bench", "absent": "bench-nokho"}

FILES = (1000, 2000, 4000, 8000, 16000, 32000)
SMALL = {"files": FILES, "sessions": (2000, 4000), "pages": (65536, 131072), "scattered": (8192, 16384),
         "compacted": (8192, 16384), "huge": (65536, 131072), "many": (5000, 10000)}
# What takes mainline hours.
LARGE = {"scattered": (65536, 131072), "many": (50000, 100000)}


# Guests' memory by GiB, and what it is made of.
GUEST_GIB = (1, 4)
GUESTS = {"pages": "4 KiB pages", "huge": "2 MiB folios", "hugetlb": "2 MiB hugetlb", "giant": "1 GiB hugetlb",
          "demand": "4 KiB pages, on demand", "demand_huge": "2 MiB folios, on demand",
          "demand_hugetlb": "2 MiB hugetlb, on demand", "demand_giant": "1 GiB hugetlb, on demand"}
# Configurations of kernels that have pages of hugetlbfs, or take folios in on demand.
FLEET, DEMAND = "fleet", "demand"
SPECIAL = {"hugetlb": FLEET, "giant": FLEET, "demand": DEMAND, "demand_random": DEMAND, "demand_idle": DEMAND,
           "demand_again": DEMAND, "demand_huge": DEMAND, "demand_hugetlb": DEMAND, "demand_giant": DEMAND}
# Hosts by GiB of memory, for what a free one costs.
FREE_GIB = (5, 9)
# The host of the model, and how much of its memory guests have.
MODEL_GIB, MODEL_GUEST_GIB = 2048, 1024

# Hosts by GiB of memory, and how many of them are preserved.
BOOT = {(2, 0): "nothing:0@2G", (9, 0): "nothing:0@9G", (5, 3): "pages:786432@5G", (9, 7): "pages:1835008@9G"}
# Parts of all memory, in percent, and what is to be reached.
SHARES = {"3G": ((50, 70, 85, 88), 85), "16G": ((50, 70, 92, 95), 92)}
SHARE_FILES = (1, 9, 2000)


def shares(memory, files):
    return [f"share{files}:{percent}@{memory}" for percent in SHARES[memory][0]]


def is_share(case):
    return case.startswith("share")


def names(counts):
    return [f"{name}:{n}" for name, list_of_n in counts.items() for n in list_of_n]


def guest_case(kind, gib):
    return f"{kind}:{gib << 18}"


def guest_cases(*kinds):
    return [guest_case(kind, gib) for kind in kinds for gib in GUEST_GIB]


FREE = [f"nothing:0@{gib}G" for gib in FREE_GIB]
HOSTS = [FREE[0], *BOOT.values(),
         *(case for memory in SHARES for files in SHARE_FILES for case in shares(memory, files))]
CASES = {"mainline": ["nothing:0", *names(SMALL), *guest_cases("pages", "huge"), *HOSTS],
         "series": ["nothing:0", *names(SMALL), *names(LARGE), *guest_cases("pages", "huge", "random"),
                    *HOSTS],
         **{config: [*FREE, *guest_cases(*(kind for kind in SPECIAL if SPECIAL[kind] == config))]
            for config in (FLEET, DEMAND)},
         "off": ["off:2000"], "absent": ["off:2000"]}


def kernels_for(case):
    """Those that a case is for that somebody asks for by its name."""
    kind = case.partition(":")[0]
    return OFF if kind == "off" else [SPECIAL[kind]] if kind in SPECIAL else KERNELS


# What is handed over for a memfd of one page: three pages and a record.
RECORDS_PER_FILE = 3 * 4096 + 64


def load():
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def cost(cases, name, n, what):
    """What case NAME:N took in the phase, or None if it was not run."""
    values = cases.get(f"{name}:{n}")
    if not values:
        return None
    if what == "blackout":
        nothing = cases.get("nothing:0")
        return max(values["blackout"] - nothing["blackout"], 0) if nothing else None
    if what == "open and retrieve":
        return values["open"] + values["retrieve"]
    return values[what]


# Title, case, counts, phase, what is divided by the count, and what is to be reached.
ROWS = [
    *(("preserve, per file", "files", n, "preserve", True, "15 k, flat") for n in (1000, 16000, 32000)),
    *(("retrieve, per file", "files", n, "retrieve", True, "8 k, flat") for n in (1000, 16000, 32000)),
    *(("blackout, per file", "files", n, "blackout", True, "3 k, linear") for n in (1000, 16000, 32000)),
    ("open, retrieve empty sessions", "sessions", 4000, "open and retrieve", False, "2 % of mainline's"),
    *((f"{phase}, per page {where}", name, n, phase, True, target)
      for name, where, n in (("pages", "of 512 MiB", 131072), ("scattered", "scattered", 16384),
                             ("scattered", "scattered", 131072), ("compacted", "after compaction", 16384),
                             ("huge", "in 2 MiB folios", 131072))
      for phase, target in (("preserve", "250"), ("retrieve", "400"), ("blackout", "120"))),
    *((f"{phase}, per file of many", "many", n, phase, True, "linear")
      for phase in ("preserve", "retrieve", "blackout") for n in (10000, 100000)),
]


def figure(value):
    """A number with three digits or more, and what it counts."""
    if value is None:
        return "-"
    for limit, unit in ((1e7, "M"), (1e4, "k")):
        if value >= limit:
            return f"{value / (1e6 if unit == 'M' else 1e3):,.1f} {unit}"
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def growth(cases, name, n, what):
    """Cost at N / cost at N / 2."""
    whole, half = cost(cases, name, n, what), cost(cases, name, n // 2, what)
    return f"{whole / half:.2f}" if whole and half else "-"


def row(results, title, name, n, what, divide, target):
    cells, seen = [title, f"{n:,}"], []
    for kernel in KERNELS:
        cases = results.get(kernel, {}).get("cases", {})
        value = cost(cases, name, n, what)
        if value is not None and divide:
            value /= n
        seen.append(value)
        cells += [figure(value), growth(cases, name, n, what)]
    ratio = f"{seen[1] / seen[0]:.3f}" if seen[0] and seen[1] is not None else "-"
    return cells + [ratio, target]


def aligned(lines):
    """Cells as a table of reStructuredText."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rule = "  ".join("=" * width for width in widths)
    text = ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]
    return [rule, text[0], rule, *text[1:], rule]


def boot_values(results, kernel):
    """How long hosts stand still, and what GiBs add to that.

    Memory above 4 GiB has its price but once, as bounces have to be made possible, and
    all hosts but the first have some.
    """
    cases = results.get(kernel, {}).get("cases", {})
    values = {host: cases.get(case, {}).get("blackout") for host, case in BOOT.items()}
    if not all(values.values()):
        return [*values.values(), None, None, None]
    preserved = (values[9, 7] - values[5, 3]) / 4
    high = values[9, 7] - values[2, 0] - 7 * preserved
    return [*values.values(), (values[9, 0] - values[2, 0] - high) / 7, preserved, high]


def boot_table(results):
    """What memory adds to the time a host stands still."""
    titles = [f"host of {size} GiB, {kept or 'nothing'}{' GiB' if kept else ''} preserved" for size, kept in BOOT]
    titles += ["each GiB that is free", "each GiB that is preserved", "memory above 4 GiB, once"]
    columns = [[figure(value) for value in boot_values(results, kernel)] for kernel in KERNELS]
    head = ["boot of the next kernel", *KERNELS.values(), "goal"]
    goals = ["1 M" if "each" in title and "preserved" in title else "" for title in titles]
    return aligned([head, *map(list, zip(titles, *columns, goals))])


def measured_on(kernel, kind):
    return SPECIAL.get(kind, kernel) if kernel == "series" else kernel


def guest_value(results, kernel, kind, what):
    """What another GiB of a guest's memory costs in the phase, or None.

    The machine stays as it is, so that of the blackout this is what memory costs that
    is preserved instead of free.
    """
    cases = results.get(measured_on(kernel, kind), {}).get("cases", {})
    seen = [cases.get(guest_case(kind, gib), {}).get(what) for gib in GUEST_GIB]
    if None in seen:
        return None
    return (seen[1] - seen[0]) / (GUEST_GIB[1] - GUEST_GIB[0])


def guest_table(results):
    """What guests of different make cost by the GiB."""
    lines = [["instructions per GiB", *KERNELS.values()]]
    for kind, title in GUESTS.items():
        for what in ("preserve", "retrieve"):
            values = [guest_value(results, kernel, kind, what) for kernel in KERNELS]
            lines.append([f"{what}, {title}", *map(figure, values)])
    return aligned(lines)


# What is to be reached, how, and by what: kind, phases.
DEMAND_ROWS = [
    ("retrieve, 4 KiB pages", ("pages", "retrieve"), ("demand", "retrieve"), "0.5 M"),
    ("retrieve, 2 MiB folios", ("huge", "retrieve"), ("demand_huge", "retrieve"), "0.05 M"),
    ("retrieve, 2 MiB hugetlb", ("hugetlb", "retrieve"), ("demand_hugetlb", "retrieve"), "0.05 M"),
    ("retrieve, 1 GiB hugetlb", ("giant", "retrieve"), ("demand_giant", "retrieve"), "0.005 M"),
    ("touch all pages in order", ("pages", "touch"), ("demand", "touch"), "1.15 times"),
    ("touch all pages at random", ("random", "touch"), ("demand_random", "touch"), "1.5 times"),
    ("preserve before any is there, 4 KiB pages", ("pages", "preserve"), ("demand_again", "again"), "1 M"),
    ("until all is there, 4 KiB pages", ("pages", "retrieve"), ("demand_idle", "retrieve", "whole"), "110 M"),
]


def demand_value(results, kind, *phases):
    values = [guest_value(results, "series", kind, what) for what in phases]
    return None if None in values else sum(values)


def demand_table(results):
    """Files that come in on demand beside those that come in at once."""
    lines = [["instructions per GiB", "at once", "on demand", "ratio", "goal"]]
    for title, once, demand, goal in DEMAND_ROWS:
        seen = [demand_value(results, *once), demand_value(results, *demand)]
        ratio = f"{seen[1] / seen[0]:.3f}" if None not in seen and seen[0] else "-"
        lines.append([title, *map(figure, seen), ratio, goal])
    return aligned(lines)


def standstill(results, kernel, kind):
    """What guests of the host of the model wait for, or None: the start of a kernel,
    struct pages of free memory, memory that is preserved, and to get that back.
    """
    cases = results.get(measured_on(kernel, kind), {}).get("cases", {})
    small, large = (cases.get(f"nothing:0@{gib}G", {}).get("blackout") for gib in FREE_GIB)
    retrieve = guest_value(results, kernel, kind, "retrieve")
    instead = guest_value(results, kernel, kind, "blackout")
    if None in (small, large, retrieve, instead):
        return None
    free = (large - small) / (FREE_GIB[1] - FREE_GIB[0])
    return (large + (MODEL_GIB - MODEL_GUEST_GIB - FREE_GIB[1]) * free +
            MODEL_GUEST_GIB * (max(instead + free, 0) + retrieve))


def model_table(results):
    """How long a large host stands still, by what was measured with small ones."""
    lines = [[f"host of {MODEL_GIB >> 10} TiB, guests of {MODEL_GUEST_GIB >> 10} TiB", *KERNELS.values()]]
    lines += [[title, *(figure(standstill(results, kernel, kind)) for kernel in KERNELS)]
              for kind, title in GUESTS.items()]
    return aligned(lines)


def scratch_lines(results):
    """Where files lay before they were preserved."""
    for kernel, title in KERNELS.items():
        cases = results.get(kernel, {}).get("cases", {})
        seen = [f"{case} {values['scratch']:,}" for case, values in sorted(cases.items()) if values.get("scratch")]
        if any("scratch" in values for values in cases.values()):
            yield f"{title}: pages that lay in scratch memory: {', '.join(seen) or 'none'}"


def share_row(results, memory, files):
    cells = [memory, f"{files:,}"]
    for kernel in KERNELS:
        cases = results.get(kernel, {}).get("cases", {})
        seen = [cases[case]["share"] for case in shares(memory, files) if case in cases]
        cells.append(f"{max(seen)} %" if seen else "-")
    return cells + [f"{SHARES[memory][1]} %"]


def share_table(results):
    head = ["memory guests can have, of", "files", *KERNELS.values(), "goal"]
    return aligned([head] + [share_row(results, memory, files) for memory in SHARES for files in SHARE_FILES])


def tables(results):
    head = ["instructions", "n", KERNELS["mainline"], "growth", KERNELS["series"], "growth", "ratio", "goal"]
    lines = aligned([head] + [row(results, *line) for line in ROWS]) + boot_table(results)
    lines += guest_table(results) + demand_table(results) + model_table(results) + share_table(results)
    lines += scratch_lines(results)
    for kernel, title in KERNELS.items():
        values = results.get(kernel, {}).get("cases", {}).get("many:100000")
        if values:
            handed = 100000 * RECORDS_PER_FILE
            lines.append(f"{title}: metadata of 100,000 files takes {values['memory'] / 1e6:,.0f} MB of memory, "
                         f"{values['memory'] / handed:.2f} times the {handed / 1e6:,.0f} MB handed over")
    off = [results.get(kernel, {}).get("cases", {}).get("off:2000") for kernel in OFF]
    if all(off):
        lines.append("live update off, and not in the kernel: using a memfd takes "
                     + " and ".join(f"{case['off'] / 2000:,.1f}" for case in off) + " instructions, booting "
                     + " and ".join(f"{case['boot'] / 1e6:,.1f} M" for case in off))
    return lines
