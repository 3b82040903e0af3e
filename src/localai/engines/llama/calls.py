"""Tool calls out of text: what a forced grammar wrote, and what a small model wrote of its own accord."""

import json
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from localai.core.event import Event, Text, ToolCall
from localai.engines.llama.arguments import Offered
from localai.engines.llama.scan import Scanner

MOST_CALLS = 128
"""Calls of one answer; what comes after stays text."""
HELD = 256 * 1024
"""Characters held back at most while they may still become a call."""

_OPENING = re.compile(r"```|<tool_call>|(?:(?<=\n)|\A)[ \t]*[\[{]")
_PARTIAL = re.compile(r"(?:`{1,2}|<(?:t(?:o(?:o(?:l(?:_(?:c(?:a(?:l(?:l)?)?)?)?)?)?)?)?)?|\n[ \t]*)\Z")
_FIRST_KEY = re.compile(r'[\[{\s]*"(\w+)"\s*:')
_STARTS = re.compile(r'[\[{\s]*("(\w*)("\s*)?)?\Z')
_KEYS = {"name", "function", "tool_calls", "type", "arguments", "parameters", "tool", "id"}
_LANGUAGES = {"", "json", "tool_call", "tool_calls", "tool"}

Emit = Callable[[Event], None]


class Sink(Protocol):
    """Takes the text of an answer and makes events of it."""

    def feed(self, text: str) -> None:
        """Take the next piece."""
        ...

    def finish(self) -> int:
        """Give out what is held back; tells how many calls there were in all."""
        ...


class Plain:
    """Text stays text."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit

    def feed(self, text: str) -> None:
        """Emit it."""
        self._emit(Text(text=text))

    def finish(self) -> int:
        """There are no calls."""
        return 0


class Forced:
    """Reads what the grammar of `constraint.calls` wrote: its form is known to the letter, so arguments stream."""

    def __init__(self, emit: Emit, names: Sequence[str], *, text: bool) -> None:
        self._emit = emit
        self._heads = {f'{{"name": {json.dumps(name, ensure_ascii=False)}, "arguments": ': name for name in names}
        self._may_be_text = text
        self._held = ""
        self._scanner: Scanner | None = None
        self._count = 0
        self._plain = False

    def feed(self, text: str) -> None:
        """Emit the beginning of a call as soon as its name is known, then its arguments as they come."""
        if self._plain:
            self._emit(Text(text=text))
            return
        self._held += text
        while self._held and (self._read_arguments() if self._scanner else self._read_head()):
            pass

    def finish(self) -> int:
        """An answer that ended early may leave a part of a call; text that looked like one is text."""
        if self._held and not self._count and self._may_be_text:
            self._emit(Text(text=self._held))
        return self._count

    def _read_head(self) -> bool:
        start = self._held.lstrip("[ ,}]") if self._count else self._held.removeprefix("[")
        for head, name in self._heads.items():
            if start.startswith(head):
                self._held = start[len(head) :]
                self._scanner = Scanner()
                self._emit(ToolCall(index=self._count, id=new_id(), name=name))
                self._count += 1
                return True
        if self._may_be_text and not self._count and not any(head.startswith(start) for head in self._heads):
            self._plain = True
            self._emit(Text(text=self._held))
            self._held = ""
        return False

    def _read_arguments(self) -> bool:
        if self._scanner is None:
            return False
        end = self._scanner.feed(self._held)
        piece = self._held if end is None else self._held[:end]
        if piece:
            self._emit(ToolCall(index=self._count - 1, arguments=piece))
        self._held = self._held[len(piece) :]
        if end is not None:
            self._scanner = None
        return end is not None


class Caught:
    """Finds calls in free text: bare or fenced JSON, and <tool_call> tags. Everything else streams on as text.

    A call to a tool that was not offered, or with arguments that its schema refuses, stays text.
    """

    def __init__(self, emit: Emit, offered: Offered) -> None:
        self._emit = emit
        self._offered = offered
        self._held = ""
        self._opened = False
        self._fresh = True
        """Only white space was said so far on this line."""
        self._scanner = Scanner()
        self._scanned = 0
        self._count = 0

    def feed(self, text: str) -> None:
        """Emit what cannot be a part of a call any more."""
        self._held += text
        while self._held and (self._judge(last=False) if self._opened else self._look()):
            pass

    def finish(self) -> int:
        """Judge what is held back as it stands."""
        while self._held and self._opened and self._judge(last=True):
            pass
        self._say(len(self._held))
        return self._count

    def _look(self) -> bool:
        """Say the text before the next opening; True when one was found."""
        for found in _OPENING.finditer(self._held):
            bare = found[0][-1] in "[{"
            if bare and found.start() == 0 and not self._fresh:
                continue
            self._say(found.start())
            self._opened, self._scanner, self._scanned = True, Scanner(), 0
            return True
        tail = _PARTIAL.search(self._held)
        self._say(tail.start() if tail else len(self._held))
        return False

    def _judge(self, *, last: bool) -> bool:
        """Decide on what is held back: a call, text, or wait for more. True when there is more to look at."""
        end = self._end(last=last)
        if end is None:
            if len(self._held) <= HELD:
                return False
            end = 0
        calls = self._calls(self._held[:end]) if end else None
        self._opened = False
        if calls is None:
            self._say(max(end, 1) if last else max(self._skip(), 1))
            return bool(self._held)
        for name, arguments in calls:
            self._emit(ToolCall(index=self._count, id=new_id(), name=name, arguments=arguments))
            self._count += 1
        self._held = self._held[end:].lstrip("\n ")
        return bool(self._held)

    def _skip(self) -> int:
        """How much of a refused opening is text for certain."""
        line = self._held.find("\n")
        if self._held.startswith("```"):
            return line if line > 0 else 3
        return len(self._held) - len(self._held.lstrip(" \t")) + 1

    def _end(self, *, last: bool) -> int | None:
        """Where the held block ends; 0 when it is no call; None when that is not known yet."""
        held = self._held
        if held.startswith("```"):
            return self._fence_end(last=last)
        if held.startswith("<tool_call>"):
            closing = held.find("</tool_call>")
            return closing + len("</tool_call>") if closing >= 0 else len(held) if last else None
        first = _FIRST_KEY.match(held)
        if (first and first[1] not in _KEYS) or not (first or _STARTS.match(held)):
            return 0
        end = self._scanner.feed(held[self._scanned :])
        at = self._scanned
        self._scanned = len(held)
        return at + end if end is not None else 0 if last else None

    def _fence_end(self, *, last: bool) -> int | None:
        line, newline, body = self._held.partition("\n")
        if not newline:
            return 0 if last or len(line) > 20 else None
        stripped = body.lstrip()
        if line[3:].strip().lower() not in _LANGUAGES or (stripped and stripped[0] not in "[{"):
            return 0
        closing = self._held.find("\n```", len(line))
        return closing + 4 if closing >= 0 else len(self._held) if last else None

    def _calls(self, block: str) -> list[tuple[str, str]] | None:
        """The calls of a block; None when it is anything else."""
        text = re.sub(r"\A```[^\n]*\n|\n```\Z|</?tool_call>", "", block).strip()
        try:
            value: Any = json.loads(text)
        except (ValueError, RecursionError):
            return None
        found = read(value)
        if not found or self._count + len(found) > MOST_CALLS:
            return None
        checked = [(name, self._offered.accept(name, given)) for name, given in found]
        if any(arguments is None for _, arguments in checked):
            return None
        return [(name, arguments) for name, arguments in checked if arguments is not None]

    def _say(self, length: int) -> None:
        text, self._held = self._held[:length], self._held[length:]
        if text:
            line = text.rpartition("\n")[2]
            self._fresh = not line.strip() and ("\n" in text or self._fresh)
            self._emit(Text(text=text))


def read(value: Any) -> list[tuple[str, Any]] | None:
    """The calls in a JSON value, by the spellings that models use: pairs of name and arguments, or None."""
    if isinstance(value, list):
        values = cast("list[Any]", value)
        found = [read(item) for item in values[: MOST_CALLS + 1]]
        return [call for calls in found for call in calls or ()] if all(found) and found else None
    if not isinstance(value, dict):
        return None
    data = cast("dict[str, Any]", value)
    if "tool_calls" in data:
        return read(data["tool_calls"])
    if isinstance(data.get("function"), dict):
        return read(data["function"])
    name = data.get("name") or data.get("function") or data.get("tool")
    given = next((data[key] for key in ("arguments", "parameters", "args", "input") if key in data), None)
    if not isinstance(name, str) or given is None:
        return None
    return [(name, given)]


def new_id() -> str:
    """An id for a call that no other has."""
    return f"call_{secrets.token_hex(12)}"
