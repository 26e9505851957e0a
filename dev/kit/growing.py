# SPDX-License-Identifier: GPL-2.0
"""Files that grow with the series: what each holds after each of the patches.

A Makefile, Kconfig or .gitignore of the repository is written as it is at the
end. A patch carries of it what is true so far: no word of a Makefile names a
file that a later patch carries, and a symbol is there from the patch on in which
a makefile or, if none does, a source file asks for it. An object of several
parts is linked when its last part is there; until then the parts are compiled.
"""

import re
from pathlib import PurePosixPath

NAMES = {"Makefile", "Kconfig", ".gitignore"}
ASSIGNMENT = re.compile(r"(\s*[\w$(){}.-]+\s*[:+?]?=)\s*(.*)", re.S)
RULE = re.compile(r"([^\s:=]+:)\s*(.*)", re.S)
WIDTH = 80


def grows(path):
    return PurePosixPath(path).name in NAMES


class Present:
    """Which files of the series are there after a patch, and who asks for what."""

    def __init__(self, owner_index, at, asked):
        self.owner_index, self.at, self.asked = owner_index, at, asked
        self._directories = {}
        for path, index in owner_index.items():
            for parent in PurePosixPath(path).parents:
                known = self._directories.get(str(parent), index)
                self._directories[str(parent)] = min(known, index)

    def lacks(self, directory, word):
        """Whether the word of a makefile in directory names what is only carried later."""
        word = word.removeprefix("$(OUTPUT)/").removeprefix("$(obj)/").removesuffix(":")
        found = [self._index(f"{directory}/{name}") for name in candidates(word)]
        found = [index for index in found if index is not None]
        return bool(found) and min(found) > self.at

    def _index(self, path):
        if path.endswith("/"):
            return self._directories.get(path.rstrip("/"))
        return self.owner_index.get(path)


def candidates(word):
    """The files that a word of a makefile may stand for."""
    if word.endswith("/"):
        return [word]
    stem, dot, suffix = word.rpartition(".")
    if dot and suffix == "o":
        return [f"{stem}.c", f"{stem}.S", f"{stem}.rs"]
    return [word, f"{word}.c"]


def paragraphs(text):
    return re.split(r"\n{2,}", text.strip("\n"))


def logical_lines(text):
    """Lines with what they are continued by."""
    return re.findall(r"(?:[^\n]*\\\n)*[^\n]+", text)


def wrapped(head, words):
    """An assignment or rule of these words, with lines that are not too long."""
    lines, line = [], head
    for word in words:
        if len(line.expandtabs()) + len(word) + 3 > WIDTH:
            lines.append(f"{line} \\")
            line = f"\t{word}"
        else:
            line += f" {word}"
    return "\n".join([*lines, line])


class Makefile:
    def __init__(self, directory, present):
        self.directory, self.present = directory, present
        self.parts = {}         # {object: whether no part of it, some or all are there}

    def _words(self, text):
        words = text.replace("\\\n", " ").split()
        return words, [word for word in words if not self._lacks(word)]

    def _lacks(self, word):
        return self.parts.get(word) == "none" or self.present.lacks(self.directory, word)

    def _line(self, line):
        """The line as far as it is true; None if nothing of it is."""
        if line.startswith(("#", "\t")):
            return line
        match = ASSIGNMENT.fullmatch(line)
        if not match:
            match = RULE.fullmatch(line)
            if not match:
                return line
            if self._lacks(match[1]):
                return None
        words, kept = self._words(match[2])
        self._note_parts(match[1], words, kept)
        if match[1].startswith("obj-") and [self.parts.get(word) for word in kept] == ["some"]:
            name = kept[0].removesuffix(".o")
            return f"# Linked when it is whole.\n{match[1].replace('obj-', 'always-').rstrip()} $({name}-y)"
        if len(kept) == len(words):
            return line
        return wrapped(match[1], kept) if kept else None

    def _note_parts(self, head, words, kept):
        match = re.match(r"([\w-]+)-(?:y|objs)\s*[:+]?=", head)
        if match and match[1] not in ("obj", "always", "subdir"):
            state = "all" if len(words) == len(kept) else "some" if kept else "none"
            known = self.parts.setdefault(f"{match[1]}.o", state)
            self.parts[f"{match[1]}.o"] = state if state == known else "some"

    def grown(self, text):
        found = []
        for paragraph in paragraphs(text):
            lines, dropped = [], False
            for line in logical_lines(paragraph):
                now = self._line(line)
                if now is None or dropped and line.startswith("\t"):
                    dropped = True
                    while lines and lines[-1].startswith("#") and "SPDX" not in lines[-1]:
                        lines.pop()
                    continue
                dropped = False
                lines.extend(now.split("\n"))
            if lines:
                found.append("\n".join(lines))
        text = "\n\n".join(found) + "\n"
        return re.sub(r"^ifn?(eq|def)\b.*\n(else\n)?endif\n", "", text, flags=re.M)


def kconfig(text, present):
    """The symbols that somebody asks for by now."""
    blocks = re.split(r"^(?=(?:config|menuconfig|source|comment|menu|endmenu|if|endif|choice|endchoice)\b)",
                      text, flags=re.M)
    kept = []
    for block in blocks:
        match = re.match(r"(?:menu)?config (\w+)\n|source \"(\S+)\"", block)
        if match and match[1] and match[1] not in present.asked:
            continue
        if match and match[2] and present.owner_index.get(match[2], 0) > present.at:
            continue
        kept.append(block)
    return "".join(kept).rstrip("\n") + "\n"


def gitignore(text, directory, present):
    return "".join(line for line in text.splitlines(keepends=True)
                   if not present.lacks(directory, line.strip().removeprefix("/")))


def state(path, text, present):
    """What the file holds after the patch that `present` is about."""
    name, directory = PurePosixPath(path).name, str(PurePosixPath(path).parent)
    if name == "Kconfig":
        return kconfig(text, present)
    if name == ".gitignore":
        return gitignore(text, directory, present)
    return Makefile(directory, present).grown(text)


def symbols(text):
    return set(re.findall(r"\bCONFIG_(\w+)", text))


def added(diff):
    """(path, added lines) for each file of a diff."""
    for part in re.split(r"^(?=diff --git )", diff, flags=re.M)[1:]:
        path = re.match(r"diff --git a/\S+ b/(\S+)", part)[1]
        yield path, "\n".join(re.findall(r"^\+(.*)", part, re.M))


class Growth:
    """The growing files of a series, given as (paths carried, diff) for each patch."""

    def __init__(self, patches, read):
        self._owner = {path: at for at, (paths, _) in enumerate(patches) for path in paths}
        self._text = {path: read(path) for path in self._owner if grows(path)}
        self._asked = self._asked_for(patches, read)

    def _asked_for(self, patches, read):
        """For each patch, the symbols that somebody asks for by then."""
        made, source = [], []
        for at, (paths, diff) in enumerate(patches):
            texts = [*added(diff), *((path, read(path)) for path in paths if re.search(r"\.[chS]$", path))]
            texts += self.states(at, lambda path: path.endswith("/Makefile")).items()
            made.append(set().union(*(symbols(text) for path, text in texts if path.endswith("Makefile"))))
            source.append(set().union(*(symbols(text) for path, text in texts if re.search(r"\.[chS]$", path))))
        by_makefiles, asked, found = set().union(*made), set(), []
        for at in range(len(patches)):
            asked = asked | made[at] | source[at] - by_makefiles
            found.append(asked)
        return found

    def states(self, at, wanted=grows):
        """{path: text} after patch `at`."""
        present = Present(self._owner, at, self._asked[at] if wanted is grows else set())
        return {path: state(path, text, present) for path, text in self._text.items()
                if wanted(path) and self._owner[path] <= at}
