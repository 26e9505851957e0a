# SPDX-License-Identifier: GPL-2.0
"""build/linux on disk: the base unpacked, the series laid over it, edits kept."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from . import growing
from .common import BUILD, LINUX, ROOT, Failure, base, say, warn
from .commits import (BASE_REF, BRANCH, BUILT_REF, Builder, blobs, git, git_line, identity,
                      read_entry, tree_entries)
from .series import MAINTAINERS, Series

GIT = LINUX / ".git"
BASE_FILES = GIT / "base-files"     # every path of the base; its mtime is when it was unpacked
BASE_ID = GIT / "base-id"           # content hash of that base, or LINUX=PATH where nobody knows it
PRISTINE = GIT / "pristine.json"    # {path: [mode, blob]} of the base files ever asked for
INPUT = GIT / "input"               # what the commits were last made from


def fetch(directory):
    if subprocess.run([ROOT / "dev/fetch", directory]).returncode:
        raise Failure("no base kernel source: see above")


def release_of(tree):
    """VERSION.PATCHLEVEL.SUBLEVEL of a kernel source, None if it does not say."""
    text = (tree / "Makefile").read_text() if (tree / "Makefile").is_file() else ""
    found = [re.search(rf"^{name} = (\d+)$", text, re.M) for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")]
    return ".".join(match.group(1) for match in found) if all(found) else None


def named_by_user():
    """What BASE_ID says of a base that LINUX= names and dev/base does not know."""
    return f"LINUX={os.path.realpath(os.environ['LINUX'])}" if os.environ.get("LINUX") else None


def base_id(tree):
    return named_by_user() if release_of(tree) not in (None, base("VERSION")) else base("CONTENT_SHA256")


def check_base():
    """Was build/linux made from what would be unpacked now?"""
    had = BASE_ID.read_text() if BASE_ID.exists() else base("CONTENT_SHA256")
    named = os.environ.get("LINUX") or ""
    if had.startswith("LINUX="):
        if had != named_by_user():
            raise Failure(f"{LINUX}: made from {had}: set that again, or run 'make clean'")
    elif had != base("CONTENT_SHA256") or (os.path.isdir(named) and base_id(Path(named)) != had):
        raise Failure(f"{LINUX}: made from another base: run 'make clean'")


def unpack_base():
    """Unpack the base and make a repository of it, if that is not done yet."""
    if BASE_FILES.exists():
        check_base()
        return
    if LINUX.exists():
        raise Failure(f"{LINUX}: not finished or not ours: remove it")
    fresh = BUILD / "linux.new"
    shutil.rmtree(fresh, ignore_errors=True)
    say("unpacking the base kernel")
    fetch(fresh)
    listed = [os.path.relpath(os.path.join(top, name), fresh)
              for top, _, names in os.walk(fresh) for name in names]
    subprocess.run(["git", "init", "-q", "-b", BRANCH.removeprefix("refs/heads/"), fresh], check=True)
    for setting in ("gc.auto=0", "core.autocrlf=false", "core.fileMode=true", "status.showUntrackedFiles=no"):
        subprocess.run(["git", "-C", fresh, "config", *setting.split("=")], check=True)
    # Only what the series touches is tracked: status and diff show just that.
    (fresh / ".git/info/exclude").write_text("*\n")
    (fresh / ".git/base-id").write_text(base_id(fresh))
    (fresh / ".git/base-files").write_text("\n".join(sorted(listed)) + "\n")
    fresh.rename(LINUX)


def base_files():
    return set(BASE_FILES.read_text().splitlines())


def pristine(paths):
    """{path: (mode, blob)}: the base's own content of these paths."""
    known = json.loads(PRISTINE.read_text()) if PRISTINE.exists() else {}
    unpacked = BASE_FILES.stat().st_mtime
    missing = [path for path in paths if path not in known]
    edited = [path for path in missing
              if not (LINUX / path).exists() or (LINUX / path).stat().st_mtime > unpacked]
    source = LINUX
    if edited:
        say(f"unpacking the base again for the original of {', '.join(edited)}")
        source = BUILD / "linux.pristine"
        shutil.rmtree(source, ignore_errors=True)
        fetch(source)
    for path in missing:
        mode, _, content = read_entry(source / path)
        known[path] = (mode, git_line("hash-object", "-w", "--stdin", data=content))
    if edited:
        shutil.rmtree(source)
    if missing:
        PRISTINE.write_text(json.dumps(known))
    return {path: tuple(known[path]) for path in paths}


def build_commits(series):
    """Make the series' commits of what is on disk now; nothing else changes."""
    in_base = base_files()
    for path, owner in series.owner.items():
        if path in in_base and path != MAINTAINERS:
            raise Failure(f"patches/series: {owner}: {path}: the base has it: edit it by a patch")
    touched = set().union(*(patch.touched() for patch in series.patches))
    if any(patch.merges_maintainers for patch in series.patches):
        touched.add(MAINTAINERS)
    return Builder().build(series.patches, pristine(sorted(touched & in_base)), release_of(LINUX) or base("VERSION"))


def built():
    """The commit that the files on disk were last laid out from, or None."""
    return git_line("rev-parse", "-q", "--verify", BUILT_REF, check=False) or None


def edits():
    """{path: (built entry, entry on disk)} of tracked files edited in build/linux."""
    found = {}
    for path, entry in (tree_entries(BUILT_REF) if built() else {}).items():
        mode, blob, _ = read_entry(LINUX / path)
        on_disk = (mode, blob) if blob else None
        if on_disk != entry:
            found[path] = (entry, on_disk)
    return found


def newer(tracked):
    """Files of build/linux written since the base was unpacked, but for those tracked and what checkpatch leaves."""
    unpacked = BASE_FILES.stat().st_mtime
    found = set()
    for directory, names, files in os.walk(LINUX):
        if directory == str(LINUX):
            names.remove(".git")
        found.update(os.path.relpath(path, LINUX) for path in (os.path.join(directory, name) for name in files)
                     if os.lstat(path).st_mtime > unpacked and "/.checkpatch-" not in path)
    return found - set(tracked)


def write_file(path, mode, content):
    """Replace the file in one step, so that a reader never sees half of it."""
    target = LINUX / path
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(target.name + ".kit-new")
    if mode == "120000":
        fresh.symlink_to(content.decode())
    else:
        fresh.write_bytes(content)
        fresh.chmod(0o755 if mode == "100755" else 0o644)
    os.replace(fresh, target)


def plan(commits):
    """{path: entry wanted on disk}, None for no file; and paths edited in place."""
    old, old_base = tree_entries(BUILT_REF), tree_entries(BASE_REF)
    new, new_base = tree_entries(commits[-1]), tree_entries(commits[0])
    wanted, kept, lost = {}, [], []
    for path in sorted(old.keys() | old_base.keys() | new.keys() | new_base.keys()):
        before = old.get(path) or (None if path in old_base else new_base.get(path))
        after = new.get(path) or (None if path in new_base else old_base.get(path))
        mode, blob, _ = read_entry(LINUX / path)
        on_disk = (mode, blob) if blob else None
        if on_disk == after:
            continue
        if on_disk == before:
            wanted[path] = after
        elif before == after:
            kept.append(path)
        else:
            lost.append(path)
    if lost:
        raise Failure(f"build/linux: edited there and changed here: {' '.join(lost)}: "
                      "run 'make refresh' (or remove the edit)")
    return wanted, kept


def lay_out(commits):
    """Bring the files on disk to the last commit; untouched ones keep their mtime."""
    wanted, kept = plan(commits)
    content = blobs({entry[1] for entry in wanted.values() if entry})
    for path, entry in wanted.items():
        if entry:
            write_file(path, entry[0], content[entry[1]])
        else:
            (LINUX / path).unlink()
    git("update-ref", BASE_REF, commits[0])
    git("update-ref", BUILT_REF, commits[-1])
    git("update-ref", BRANCH, commits[-1])
    git("read-tree", commits[-1])
    git("update-index", "-q", "--refresh", check=False)
    return len(wanted), kept


def input_of(series):
    """Everything the commits depend on, to see whether there is anything to do."""
    parts = [repr(identity()), (ROOT / "dev/base").read_text(), Path(growing.__file__).read_text()]
    for patch in series.patches:
        parts.append(f"{patch.name}\n{patch.message}\n{patch.diff!r}\n{patch.merges_maintainers}")
        parts += [f"{path} {read_entry(ROOT / path)[:2]}" for path in patch.overlay]
    if (ROOT / MAINTAINERS).exists():
        parts.append((ROOT / MAINTAINERS).read_text())
    return "\n".join(parts)


def update(series=None):
    """Bring build/linux up to date with the repository."""
    series = series or Series()
    series.require_sound()
    if series.uncarried:
        warn(f"left out, carried by no patch of patches/series: {' '.join(series.uncarried)}")
    unpack_base()
    head = git_line("rev-parse", "-q", "--verify", "HEAD", check=False) or None
    if head != built():
        raise Failure("build/linux: has commits of its own: "
                      f"run 'git -C {LINUX} reset --soft {BUILT_REF}', then 'make refresh'")
    wanted = input_of(series)
    if head and INPUT.exists() and INPUT.read_text() == wanted:
        count, kept = 0, list(edits())
    else:
        count, kept = lay_out(build_commits(series))
        INPUT.write_text(wanted)
    for path in kept:
        warn(f"build/linux/{path}: edited there: 'make refresh' takes it into the repository")
    say(f"build/linux: {len(series.patches)} patches, {count} files changed")
