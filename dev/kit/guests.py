# SPDX-License-Identifier: GPL-2.0
"""Guests of luo-qemu with the QEMU of this machine, emulating, and no kernel:
/dev/liveupdate is tests/fake.c, and the reboot is played here. The guest is a boot
sector that checks its memory (tests/boot.S)."""

import contextlib
import fcntl
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from kit.common import ROOT

TOOLS = ROOT / "tools/liveupdate"
MACHINE = ["-accel", "tcg,tb-size=16", "-nodefaults", "-display", "none", "-m", "16"]


def build(where):
    """luo-qemu, the library that plays the kernel, and the guest."""
    subprocess.run(["make", "-s", "-C", TOOLS, f"O={where}", f"{where}/qemu/luo-qemu", f"{where}/tests/boot.img"],
                   check=True)
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", f"-I{where}/include",
                    f"-I{TOOLS}/lib", "-o", where / "fake.so", TOOLS / "tests/fake.c"], check=True)


def until(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


class Guests(unittest.TestCase):
    """A machine of its own for each test: kernel, directory of sockets, guests."""

    @classmethod
    def setUpClass(cls):
        cls.built = Path(tempfile.mkdtemp())
        build(cls.built)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.built)

    def setUp(self):
        self.top = Path(tempfile.mkdtemp())
        for name in ("outgoing", "incoming", "finished"):
            (self.top / name).mkdir()
        self.env = {**os.environ, "FAKE_LIVEUPDATE": str(self.top), "LD_PRELOAD": str(self.built / "fake.so")}
        self.serial = self.top / "serial"

    def tearDown(self):
        self.kill_all()
        shutil.rmtree(self.top)

    # ---- luo-qemu ----

    def command(self, *words):
        return [str(self.built / "qemu/luo-qemu"), "--directory", str(self.top / "run"),
                "--marks", str(self.top / "marks"), *words]

    def call(self, *words, code=0, **env):
        done = subprocess.run(self.command(*words), env={**self.env, **env}, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def begin(self, *words, alone=False, **env):
        """alone: in a session of its own."""
        with open(self.top / "said", "a") as said:
            return subprocess.Popen(self.command(*words), env={**self.env, **env}, stdout=said, stderr=said,
                                    start_new_session=alone)

    def arguments(self, *more):
        return ["-drive", f"file={self.built}/tests/boot.img,format=raw,file.locking=off,if=none,id=boot",
                "-device", "ide-hd,drive=boot,bootindex=0",
                "-chardev", f"file,id=s,path={self.serial},append=on", "-serial", "chardev:s", *MACHINE, *more]

    def run_guest(self, *more, name="vm", alone=False, **env):
        process = self.begin("run", name, "--", *self.arguments(*more), alone=alone, **env)
        self.lives(process)
        return process

    def status(self, name="vm"):
        return dict(line.split(" ", 1) for line in self.call("status", name).splitlines())

    # ---- the guest ----

    def lines(self):
        """(generation, wrong words) of each pass that the guest reported whole."""
        text = self.serial.read_text() if self.serial.exists() else ""
        return [tuple(int(word, 16) for word in line) for line in re.findall(r"^(\w{8}) (\w{8})\n", text, re.M)]

    def lives(self, process=None):
        """It goes on from where it was, and never found a wrong word."""
        before = len(self.lines())

        def goes_on():
            self.assertFalse(process and process.poll() is not None, (self.top / "said").read_text())
            return len(self.lines()) > before + 3
        until(goes_on, "the guest goes on")
        lines = self.lines()
        self.assertEqual([generation for generation, _ in lines], list(range(1, len(lines) + 1)))
        self.assertEqual({wrong for _, wrong in lines}, {0})

    # ---- the reboot ----

    def processes(self):
        """Ours: each has the directory of this test in its environment."""
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.top).encode() in (entry / "environ").read_bytes():
                    yield int(entry.name)
            except OSError:
                pass

    def kill_all(self):
        until(lambda: not self.end(self.processes()), "all are dead")

    def end(self, pids):
        """Kill them; those that were alive. A process that dies loses its environment
        before its files, and only when it is a zombie are its sockets and locks gone."""
        alive = [pid for pid in pids if self.alive(pid)]
        for pid in alive:
            with contextlib.suppress(ProcessLookupError), self.pidfd(pid) as process:
                signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)
                self.assertTrue(select.select([process], [], [], 30)[0], f"process {pid} does not die")
        return alive

    @staticmethod
    def pidfd(pid):
        return open(os.pidfd_open(pid), "rb", buffering=0)

    @staticmethod
    def alive(pid):
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def held(self, session):
        with open(session / "lock") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return True

    def files(self):
        """{inode: path} of the memfds that our processes hold."""
        found = {}
        for pid in self.processes():
            for path in Path(f"/proc/{pid}/fd").glob("*"):
                try:
                    if os.readlink(path).startswith("/memfd:"):
                        found[os.stat(path).st_ino] = path
                except OSError:
                    pass
        return found

    def reboot(self):
        """What sessions have and somebody holds goes to the next kernel; processes end."""
        files = self.files()
        for session in (self.top / "outgoing").iterdir():
            if not self.held(session):
                continue
            copy = self.top / "incoming" / session.name
            copy.mkdir()
            (copy / "lock").touch()
            for token in session.iterdir():
                if token.name != "lock":
                    shutil.copyfile(files[int(token.read_text())], copy / token.name)
        self.kill_all()
        shutil.rmtree(self.top / "outgoing")
        (self.top / "outgoing").mkdir()

    def sessions(self, way):
        return sorted(path.name for path in (self.top / way).iterdir() if way != "outgoing" or self.held(path))

    def finished(self):
        return until(lambda: (self.top / "finished/lock").exists(), "the session is finished")

    def resume(self, *options, name="vm"):
        process = self.begin("resume", *options, name)
        self.lives(process)
        self.finished()
        return process

    def answers(self, name="vm"):
        return subprocess.run(self.command("status", name), env=self.env, capture_output=True).returncode == 0

    def processes_of(self, program):
        return [pid for pid in self.processes()
                if self.alive(pid) and program in Path(f"/proc/{pid}/cmdline").read_text().split("\0")[0]]

    def forget(self):
        """A machine without guests."""
        self.kill_all()
        for name in ("outgoing", "incoming", "finished"):
            shutil.rmtree(self.top / name, ignore_errors=True)
            (self.top / name).mkdir()
        self.serial.unlink(missing_ok=True)

    def own_disk(self):
        """Arguments of a disk that QEMU locks."""
        disk = self.top / "boot.img"
        shutil.copyfile(self.built / "tests/boot.img", disk)
        return ["-drive", f"file={disk},format=raw,if=none,id=boot,file.locking=on",
                "-device", "ide-hd,drive=boot,bootindex=0",
                "-chardev", f"file,id=s,path={self.serial},append=on", "-serial", "chardev:s", *MACHINE]

    def start(self, name="vm", **env):
        """As the unit does; returns the process and what the manager is told."""
        path = self.top / f"notify{len(list(self.top.glob('notify*')))}"
        told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(told.close)
        told.bind(str(path))
        told.settimeout(60)
        process = self.begin("start", name, "--", *self.arguments(), NOTIFY_SOCKET=str(path), **env)
        try:
            return process, told.recv(100).decode()
        except socket.timeout:
            self.fail((self.top / "said").read_text())


class TapResult(unittest.TestResult):
    count = 0

    def line(self, verdict, test):
        TapResult.count += 1
        name = test.id().split(".")[-1].removeprefix("test_").replace("_", " ")
        print(f"{verdict} {TapResult.count} {name}", flush=True)

    def addSuccess(self, test):
        self.line("ok", test)

    def problem(self, test, error):
        self.line("not ok", test)
        said = test.top / "said"
        text = self._exc_info_to_string(error, test) + (said.read_text() if said.exists() else "")
        print(*("# " + line for line in text.splitlines()), sep="\n")

    addError = addFailure = problem

    def addSubTest(self, test, subtest, error):
        if error:
            print(f"# {subtest.id()}")
            self.problem(test, error)


def run_suite(cases):
    """All tests of the class, or those named on the command line."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(cases)
    if len(sys.argv) > 1:
        suite = unittest.TestSuite(cases(name) for name in sys.argv[1:])
    suite.run(TapResult())
    print(f"1..{TapResult.count}")
