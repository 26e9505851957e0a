# SPDX-License-Identifier: GPL-2.0
"""patches/series: the ordered list of patches, the files each carries, its message."""

import re
from itertools import groupby

from .common import BUILD, ROOT, Failure, run

PATCHES = ROOT / "patches"
# Directories of the repository that the kernel tree has not; nor has it hidden ones.
OWN_DIRS = {"build", "debian", "dev", "patches"}
MAINTAINERS = "MAINTAINERS"
TEMPLATE = "Subject: area: What the patch does\n\nThe problem, its consequence, the change.\n---\n"


class Patch:
    """One patch: its message, its diff against the base, the files it carries."""

    def __init__(self, name, part, carried):
        self.name = name
        self.part = part
        self.path = PATCHES / name
        self.merges_maintainers = MAINTAINERS in carried
        self.overlay = [path for path in carried if path != MAINTAINERS]
        self.message, self.diff = "", b""

    def read(self):
        head, mark, diff = self.path.read_bytes().partition(b"diff --git ")
        self.diff = mark + diff
        self.message = message_of(head.decode())

    def write(self, diff):
        """Replace the diff, keep the message."""
        self.diff = diff
        subject, _, body = self.message.partition("\n")
        text = f"Subject: {subject}\n{body.rstrip()}\n---\n"
        self.path.write_bytes(text.encode() + (b"\n" + diff if diff else b""))

    def touched(self):
        """Paths that the diff edits, adds, removes or renames."""
        names = set()
        for old, new in re.findall(rb"^diff --git a/(\S+) b/(\S+)$", self.diff, re.M):
            names |= {old.decode(), new.decode()}
        return names


def message_of(head):
    """Subject and body of the text before a patch's diff, headers dropped."""
    headers, _, body = head.partition("\n\n")
    subject = re.search(r"^Subject: *(.*(?:\n[ \t].*)*)", headers, re.M)
    if not subject:
        return ""
    title = re.sub(r"^\[PATCH[^\]]*\] *", "", re.sub(r"\s+", " ", subject.group(1)))
    body = re.split(r"^---$", body, maxsplit=1, flags=re.M)[0].strip()
    return f"{title}\n\n{body}\n" if body else f"{title}\n"


def overlay_files():
    """Every file of the repository that stands at a path of the kernel tree: none at the top."""
    without = set(OWN_DIRS)
    if BUILD.is_relative_to(ROOT):
        without.add(str(BUILD.relative_to(ROOT)))
    listed = run("git", "ls-files", "-co", "-z", "--exclude-standard", "--", "*/*", ":(exclude).*/**",
                 *(f":(exclude,literal){name}" for name in without), cwd=ROOT).decode().split("\0")
    return sorted(path for path in listed if path and (ROOT / path).is_file())


def entries():
    """(patch name, part, paths as written) for each entry of patches/series."""
    found, part = [], ""
    for number, line in enumerate((PATCHES / "series").read_text().splitlines(), 1):
        text = line.split("#")[0].rstrip()
        if not text:
            continue
        name, colon, rest = text.partition(":")
        if text[0].isspace() and found:
            found[-1][2].extend(text.split())
        elif colon and re.fullmatch(r"\d{4}-[\w.-]+\.patch", name):
            found.append((name, part, rest.split()))
        elif re.fullmatch(r"\[[a-z-]+\]", text):
            part = text[1:-1]
        else:
            raise Failure(f"patches/series:{number}: not '[part]' or 'NNNN-slug.patch: path ...': {text.strip()}")
    return found


class Series:
    """The patches in order, and what is wrong with the list."""

    def __init__(self):
        self.errors = []
        self.unfinished = []
        written = entries()
        self._files = overlay_files()
        self._named = [path for *_, paths in written for path in paths]
        self.patches = [Patch(name, part, self._carried(name, paths)) for name, part, paths in written]
        self._check_overlay()
        self._check_patches()
        self._check_parts()

    def _carried(self, name, paths):
        carried = []
        for path in paths:
            if path.endswith("/"):
                found = [f for f in self._files if f not in self._named and self._nearest(f) == path]
            else:
                found = [path] if path == MAINTAINERS or path in self._files else []
            if not found:
                self.errors.append(f"patches/series: {name}: {path}: no such file in the repository")
            carried += found
        return carried

    def _nearest(self, file):
        """The innermost directory of patches/series that the file is below."""
        return max((path for path in self._named if path.endswith("/") and file.startswith(path)), key=len, default="")

    def _check_overlay(self):
        owner = {}
        for patch in self.patches:
            for path in patch.overlay + [MAINTAINERS] * patch.merges_maintainers:
                if path in owner:
                    self.errors.append(f"patches/series: {path}: carried by {owner[path]} and {patch.name}")
                owner[path] = patch.name
        self.owner = owner
        self.uncarried = [path for path in self._files if path not in owner]

    def _check_patches(self):
        names = [patch.name for patch in self.patches]
        for before, after in zip(names, names[1:]):
            if before[:4] >= after[:4]:
                self.errors.append(f"patches/series: {after}: stands after {before}: order by number")
        for path in sorted(PATCHES.glob("[0-9]*.patch")):
            if path.name not in names:
                self.errors.append(f"patches/{path.name}: not in patches/series")
        for patch in self.patches:
            self._check_patch(patch)

    def parts(self):
        """(part, its patches) in order; a part that is come back to is there twice."""
        return [(part, list(patches)) for part, patches in groupby(self.patches, lambda patch: patch.part)]

    def _check_parts(self):
        names = [part for part, _ in self.parts()]
        for name in dict.fromkeys(names):
            if not name:
                self.errors.append(f"patches/series: {self.patches[0].name}: in no part: name one before it: [part]")
            elif names.count(name) > 1:
                self.errors.append(f"patches/series: [{name}]: there twice: a part is posted in one piece")
            elif not (PATCHES / f"cover-letter-{name}").exists():
                self.errors.append(f"patches/cover-letter-{name}: missing: write the subject, an empty line, the text")

    def _check_patch(self, patch):
        if not patch.path.exists():
            self.errors.append(f"patches/{patch.name}: missing: write it with Subject: and a message")
            return
        patch.read()
        if not patch.message:
            self.errors.append(f"patches/{patch.name}: no Subject: line")
        elif message_of(TEMPLATE) == patch.message:
            self.unfinished.append(f"patches/{patch.name}: its message is still to be written")
        elif "\n\n" not in patch.message:
            self.errors.append(f"patches/{patch.name}: no message below the subject")
        if re.search(r"^Signed-off-by:", patch.message, re.M):
            self.errors.append(f"patches/{patch.name}: Signed-off-by is added when the tree is made: remove it")
        if not (patch.diff or patch.overlay or patch.merges_maintainers):
            self.errors.append(f"patches/{patch.name}: neither edits nor carries a file")
        if patch.merges_maintainers and MAINTAINERS in patch.touched():
            self.errors.append(f"patches/{patch.name}: edits MAINTAINERS and merges ours: do one")
        for path in sorted(patch.touched() & set(self._files)):
            self.errors.append(f"patches/{patch.name}: {path}: in the repository too: edit it there")

    def require_sound(self):
        if self.errors:
            raise Failure("\n".join(self.errors))


def merge_maintainers(text, ours):
    """The tree's MAINTAINERS with our entries at their place; same title replaces."""
    blocks = text.strip("\n").split("\n\n")
    first = next(i for i, block in enumerate(blocks) if is_entry(block))
    for entry in filter(is_entry, ours.strip("\n").split("\n\n")):
        titles = [block.split("\n")[0] for block in blocks[first:-1]]
        title = entry.split("\n")[0]
        replaced = title in titles
        at = first + (titles.index(title) if replaced else place(title, titles))
        blocks[at:at + replaced] = [entry]
    return "\n\n".join(blocks) + "\n"


def place(title, titles):
    """Where title has fewest neighbours on the wrong side: not all are sorted."""
    wrong = sum(other < title for other in titles)
    best, least = 0, wrong
    for at, other in enumerate(titles, 1):
        wrong += 1 if other > title else -1
        if wrong < least:
            best, least = at, wrong
    return best


def is_entry(block):
    lines = block.split("\n")
    return len(lines) > 1 and re.match(r"[A-Z]:\t", lines[1]) and not re.match(r"[A-Z]:\s", lines[0])
