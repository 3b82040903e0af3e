"""Walks the models folder: which files there may be models, without opening one."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

from localai.loader.disk import Stamp

ENTRIES_LIMIT = 20_000
DEPTH_LIMIT = 4
_WRITTEN = (".yaml", ".yml")
_LOOSE = (".gguf", ".safetensors", ".onnx")


class Found(NamedTuple):
    """The files of a models folder, sorted by path."""

    written: dict[Path, Stamp]
    """Model files (YAML), directly in the folder."""
    loose: dict[Path, Stamp]
    """Weights, in the folder, then in its sub-folders."""
    folders: dict[Path, int]
    """Every folder walked and its time of change in nanoseconds: while they stand, no file came or went."""
    skipped: dict[Path, str]
    """What looks like a model and is not taken, and why."""


def scan(folder: Path) -> Found:
    """Walk `folder`. Hidden entries, symbolic links and whatever is no regular file are never taken."""
    found = Found({}, {}, {}, {})
    waiting = [(folder, 0)]
    left = ENTRIES_LIMIT
    while waiting:
        place, depth = waiting.pop()
        try:
            found.folders[place] = place.stat().st_mtime_ns
            with os.scandir(place) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        for entry in listed[:left]:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth < DEPTH_LIMIT:
                    waiting.append((Path(entry.path), depth + 1))
            else:
                _sort(found, entry, depth)
        left -= len(listed)
        if left <= 0:
            found.skipped[place] = f"There are more than {ENTRIES_LIMIT} files; the rest is not looked at."
            break
    loose = sorted(found.loose.items(), key=lambda each: (len(each[0].parts), each[0]))
    return Found(dict(sorted(found.written.items())), dict(loose), found.folders, found.skipped)


def _sort(found: Found, entry: os.DirEntry[str], depth: int) -> None:
    lowered = entry.name.lower()
    written = depth == 0 and lowered.endswith(_WRITTEN)
    if not written and not lowered.endswith(_LOOSE):
        return
    path = Path(entry.path)
    try:
        state = entry.stat(follow_symlinks=False)
    except OSError:
        return
    if stat.S_ISLNK(state.st_mode):
        found.skipped[path] = "This is a symbolic link; links are not followed."
    elif not stat.S_ISREG(state.st_mode):
        found.skipped[path] = "This is not a regular file."
    else:
        stamp = Stamp(state.st_mtime_ns, state.st_size, state.st_ino)
        (found.written if written else found.loose)[path] = stamp
