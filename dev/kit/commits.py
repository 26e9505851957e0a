# SPDX-License-Identifier: GPL-2.0
"""The series as commits of build/linux, built in a temporary index."""

import hashlib
import os
import re

from .common import BUILD, LINUX, ROOT, Failure, base, run
from .growing import Growth, grows
from .series import MAINTAINERS, merge_maintainers

BASE_REF, BUILT_REF, BRANCH = "refs/kit/base", "refs/kit/built", "refs/heads/series"


def git(*args, data=None, env=None, check=True):
    return run("git", "-C", LINUX, *args, data=data, env=env, check=check)


def git_line(*args, **kwargs):
    return git(*args, **kwargs).decode().strip()


def identity():
    """Name and address of the committer: git config, else who made our last commit."""
    def ask(*args):
        return run("git", *args, cwd=ROOT, check=False).decode().strip()
    name = ask("config", "user.name") or ask("log", "-1", "--format=%cn")
    email = ask("config", "user.email") or ask("log", "-1", "--format=%ce")
    if not (name and email):
        raise Failure("git does not know who you are: git config --global user.name NAME and user.email ADDRESS")
    return name, email


def blob_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def read_entry(path):
    """(mode, blob id, content) of a file on disk; all None if there is none."""
    if path.is_symlink():
        mode, content = "120000", os.readlink(path).encode()
    elif path.is_file():
        mode = "100755" if os.access(path, os.X_OK) else "100644"
        content = path.read_bytes()
    else:
        return None, None, None
    return mode, blob_id(content), content


def tree_entries(commit):
    """{path: (mode, blob id)} of a commit, empty if it does not exist."""
    listed = git("ls-tree", "-r", "-z", commit, check=False).decode()
    found = {}
    for line in filter(None, listed.split("\0")):
        head, path = line.split("\t", 1)
        mode, _, blob = head.split()
        found[path] = (mode, blob)
    return found


def blobs(ids):
    """{blob id: content} for ids that the repository holds."""
    out, found, at = git("cat-file", "--batch", data="".join(f"{i}\n" for i in ids).encode()), {}, 0
    for blob in ids:
        end = out.index(b"\n", at)
        size = int(out[at:end].split()[2])
        found[blob] = out[end + 1:end + 1 + size]
        at = end + size + 2
    return found


def growth_of(patches):
    return Growth([(patch.overlay, patch.diff.decode(errors="replace")) for patch in patches],
                  lambda path: (ROOT / path).read_text())


class Builder:
    """Makes commits; knows nothing of the files on disk in build/linux."""

    def __init__(self):
        self._date = int(base("EPOCH"))
        self._name, self._email = identity()
        self._index = BUILD / ".series.index"
        self._index.unlink(missing_ok=True)

    def _env(self):
        stamp = f"{self._date} +0000"
        return {"GIT_INDEX_FILE": str(self._index),
                "GIT_AUTHOR_NAME": self._name, "GIT_AUTHOR_EMAIL": self._email, "GIT_AUTHOR_DATE": stamp,
                "GIT_COMMITTER_NAME": self._name, "GIT_COMMITTER_EMAIL": self._email, "GIT_COMMITTER_DATE": stamp}

    def put(self, entries):
        """Set {path: (mode, blob)} in the index."""
        lines = "".join(f"{mode} {blob}\t{path}\n" for path, (mode, blob) in entries.items())
        git("update-index", "--index-info", data=lines.encode(), env=self._env())

    def apply(self, patch):
        if not patch.diff:
            return
        try:
            git("apply", "--cached", "--whitespace=nowarn", "-", data=patch.diff, env=self._env())
        except Failure as failure:
            reason = re.sub(r"^.*?error: ", "", str(failure)).replace("error: ", "")
            raise Failure(f"patches/{patch.name}: does not apply: {reason}: mend the patch") from None

    def merge_maintainers(self):
        ours = (ROOT / MAINTAINERS).read_text()
        text = git("show", f":{MAINTAINERS}", env=self._env()).decode()
        blob = git_line("hash-object", "-w", "--stdin", data=merge_maintainers(text, ours).encode())
        self.put({MAINTAINERS: ("100644", blob)})

    def tree(self, commit, versions):
        """The commit's tree with {path: (mode, content) or None} put in."""
        git("read-tree", commit, env=self._env())
        for path, version in versions.items():
            if version:
                blob = git_line("hash-object", "-w", "--stdin", data=version[1])
                self.put({path: (version[0], blob)})
            else:
                self.put({path: ("0", "0" * 40)})
        return git_line("write-tree", env=self._env())

    def commit(self, message, *parents):
        self._date += 1
        tree = git_line("write-tree", env=self._env())
        args = [arg for parent in parents for arg in ("-p", parent)]
        return git_line("commit-tree", tree, *args, data=message.encode(), env=self._env())

    def sign_off(self, message):
        return run("git", "interpret-trailers", "--no-divider",
                   "--trailer", f"Signed-off-by: {self._name} <{self._email}>", data=message.encode()).decode()

    def put_grown(self, texts, before):
        """Set those of {path: text} that are not as before."""
        fresh = {path: text for path, text in texts.items() if before.get(path) != text}
        self.put({path: ("100644", git_line("hash-object", "-w", "--stdin", data=text.encode()))
                  for path, text in fresh.items()})
        before.update(fresh)

    def build(self, patches, pristine, release):
        """The base commit and one commit per patch, each with its overlay files."""
        overlay = [path for patch in patches for path in patch.overlay]
        names = "".join(f"{ROOT / path}\n" for path in overlay)
        ids = git_line("hash-object", "-w", "--no-filters", "--stdin-paths", data=names.encode()).split()
        files = {path: ("100755" if os.access(ROOT / path, os.X_OK) else "100644", blob)
                 for path, blob in zip(overlay, ids)}
        growth = growth_of(patches)
        self.put(pristine)
        commits = [self.commit(f"Linux {release}\n\nThe files that the series edits.\n")]
        grown = {}
        for at, patch in enumerate(patches):
            self.apply(patch)
            self.put({path: files[path] for path in patch.overlay if not grows(path)})
            self.put_grown(growth.states(at), grown)
            if patch.merges_maintainers:
                self.merge_maintainers()
            commits.append(self.commit(self.sign_off(patch.message), commits[-1]))
        self._index.unlink()
        return commits
