# SPDX-License-Identifier: GPL-2.0
"""Time limits are for what hangs: what builds, or is slow, is no reason to end it."""

import os
import time
from pathlib import Path

# A loop of so many rounds took so many seconds where the limits were set; long
# enough to see that others want the CPUs too.
ROUNDS, SECONDS = 10_000_000, 0.3


def slowness():
    """How many times slower this machine is now than that one, at least 1."""
    began = time.monotonic()
    for _ in range(ROUNDS):
        pass
    return max(1, (time.monotonic() - began) / SECONDS)


class Limit:
    """Seconds of a machine that is not slow, less those in which something was built.

    What builds writes its process ID to the file of pids, if there is one.
    """

    def __init__(self, seconds, pids=None):
        self.seconds = seconds
        self.pids = pids
        self.slowness = 1
        self.used = 0
        self.last = time.monotonic()

    def building(self):
        pids = Path(self.pids).read_text().split() if self.pids and os.path.exists(self.pids) else ()
        return any(os.path.exists(f"/proc/{pid}") for pid in pids)

    def over(self):
        """To be asked now and then. Looks at the machine once more before it says yes."""
        now = time.monotonic()
        if not self.building():
            self.used += now - self.last
        self.last = now
        if self.used > self.seconds * self.slowness:
            self.slowness = max(self.slowness, slowness())
        return self.used > self.seconds * self.slowness
