# SPDX-License-Identifier: GPL-2.0
"""Paths, messages and processes shared by the Python programs of dev/."""

import errno
import fcntl
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD") or ROOT / "build").resolve()
LINUX = BUILD / "linux"
# Options and variables of the make that started us are not for those we start.
for name in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL"):
    os.environ.pop(name, None)
PROG = os.path.basename(sys.argv[0])
# make takes such a path for two.
if re.search(r"[\s:]", str(BUILD)):
    print(f"{PROG}: BUILD={BUILD}: holds a space or a colon: name another directory", file=sys.stderr)
    sys.exit(2)


class Failure(Exception):
    """What went wrong and the remedy, as one line for the user."""


def say(text):
    print(f"{PROG}: {text}", flush=True)


def warn(text):
    print(f"{PROG}: {text}", file=sys.stderr, flush=True)


def main(function):
    """Run a program: 0 done, 1 failed; argparse exits with 2 on wrong usage."""
    try:
        sys.exit(function() or 0)
    except Failure as failure:
        warn(failure)
    except FileNotFoundError as error:
        if error.strerror is None or error.filename is None:
            raise
        remedy = "" if "/" in str(error.filename) else ": run 'make deps'"
        warn(f"{error.filename}: {error.strerror}{remedy}")
    except OSError as error:
        remedy = ": make room or set BUILD= to a larger disk" if error.errno == errno.ENOSPC else ""
        warn(f"{error.filename or 'system'}: {error.strerror}{remedy}")
    except KeyboardInterrupt:
        warn("interrupted")
    sys.exit(1)


def base(name):
    """A value of dev/base."""
    text = (ROOT / "dev/base").read_text()
    return re.search(rf"^BASE_{name}=(.*)$", text, re.M).group(1)


def run(*command, data=None, cwd=None, env=None, check=True):
    """Run a command and return what it printed; Failure if it fails."""
    done = subprocess.run(command, input=data, cwd=cwd, capture_output=True,
                          env={**os.environ, **env} if env else None)
    if check and done.returncode:
        reason = done.stderr.decode(errors="replace").strip().replace("\n", "; ")
        raise Failure(f"{' '.join(map(str, command[:4]))}: {reason}")
    return done.stdout


def building():
    """While a program that says so lives, the clock of the suite that started it stands still."""
    if os.environ.get("BUILDING"):
        with open(os.environ["BUILDING"], "a", encoding="ascii") as pids:
            pids.write(f"{os.getpid()}\n")


def lock(name):
    """Hold build/.NAME.lock until the program ends."""
    BUILD.mkdir(parents=True, exist_ok=True)
    handle = open(BUILD / f".{name}.lock", "w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another run that holds {handle.name}")
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle
