"""Follows JSON text as it comes, only to know where its outermost object or array ends."""

import re

_STEPS = re.compile(r'["\\{}\[\]]')


class Scanner:
    """Feed it pieces; it tells when the value that began with the first brace or bracket is complete."""

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self._escaped = False

    def feed(self, text: str) -> int | None:
        """Take the next piece; gives the position in it just behind the value's end, or None."""
        at = 0
        if self._escaped and text:
            self._escaped = False
            at = 1
        while found := _STEPS.search(text, at):
            char, at = found[0], found.end()
            if char == "\\":
                if self._quoted:
                    self._escaped = at >= len(text)
                    at += 1
            elif char == '"':
                self._quoted = not self._quoted
            elif not self._quoted:
                self._depth += 1 if char in "{[" else -1
                if self._depth <= 0:
                    return at
        return None
