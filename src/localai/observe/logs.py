"""Logs: one line a record, JSON off a terminal, with the request's id, without anything a client or a model said.

Redaction is by construction: callers pass named facts, a field whose name speaks of a secret or of content is
never written, libraries' records are written without their arguments, and of an exception only its class and
its place in the code. structlog (slow to import) is imported with the first record, not with this module.
"""

import atexit
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal

from localai.observe.sink import Sink

request_id: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that is being served, or ""."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
RECORD = 64 * 1024
"""Largest record in bytes; a larger one loses its fields."""
FIELD = 4096
"""Longest text of one field in characters."""

_SECRET = re.compile(
    r"key|secret|token$|password|authori[sz]ation|cookie|credential|prompt|content|message|body|query|^text$|output",
    re.IGNORECASE,
)
_KEY = re.compile(r"sk-[A-Za-z0-9_-]{8,}")

Render = Callable[[dict[str, Any]], str]


class Log:
    """A named logger with bound fields; every method takes the event's name and named facts."""

    def __init__(self, name: str, bound: dict[str, Any] | None = None) -> None:
        self._name = name
        self._bound = bound or {}

    def bind(self, **fields: Any) -> "Log":
        """The same logger with more fields in every record."""
        return Log(self._name, self._bound | fields)

    def debug(self, event: str, **fields: Any) -> None:
        """Record what only a developer wants to know."""
        self._record("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Record what happened."""
        self._record("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Record what an operator should look at."""
        self._record("warning", event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Record what went wrong."""
        self._record("error", event, fields)

    def failure(self, event: str, error: BaseException, **fields: Any) -> None:
        """Record an exception by its class and its place in the code; its text may hold values and is left out."""
        self._record("error", event, fields | {"error": type(error).__qualname__, "stack": stack(error)})

    def _record(self, level: str, event: str, fields: dict[str, Any]) -> None:
        if LEVELS[level] >= _settings.level:
            emit(self._name, level, event, self._bound | fields)


class _Settings:
    """What `configure` chose."""

    level = LEVELS["info"]
    json = True
    sink = Sink(2)


_settings = _Settings()


def get(name: str) -> Log:
    """The logger of that name."""
    return Log(name)


def configure(level: str, json: bool | None, descriptor: int = 2) -> None:  # noqa: FBT001 - read from the settings
    """Choose the level ("debug" to "error") and the form (JSON, or for people; None decides by the terminal)."""
    _settings.level = LEVELS.get(level.lower(), LEVELS["info"])
    _settings.json = not os.isatty(descriptor) if json is None else json
    _settings.sink.close()
    _settings.sink = Sink(descriptor)
    root = logging.getLogger()
    root.handlers = [_Foreign()]
    root.setLevel(logging.WARNING)


def lost() -> int:
    """Records dropped because nobody took them."""
    return _settings.sink.lost


def flush() -> None:
    """Write what waits (at most a second)."""
    _settings.sink.close()


def stack(error: BaseException) -> list[str]:
    """Where an exception came from, innermost last: "file:line function", at most 32 frames, no values."""
    frames = traceback.extract_tb(error.__traceback__)[-32:]
    return [f"{_short(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]


def emit(name: str, level: str, event: str, fields: dict[str, Any]) -> None:
    """Write one record; never raises."""
    record: dict[str, Any] = {"event": event, "level": level, "logger": name}
    record["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if asked := request_id.get():
        record["request_id"] = asked
    render = _renderer("json" if _settings.json else "console")
    line = render(record | {key: _clean(key, value) for key, value in fields.items()})
    if len(line) > RECORD // 4 and len(line.encode()) > RECORD - 1:
        line = render(record | {"cut": True})
    _settings.sink.write(line.encode(errors="backslashreplace") + b"\n")


def _clean(key: str, value: Any) -> Any:
    match value:
        case None | bool() | int() | float():
            return value
        case _ if _SECRET.search(key):
            return "[redacted]"
        case str():
            return _KEY.sub("[redacted]", value[:FIELD])
        case bytes() | bytearray():
            return f"<{len(value)} bytes>"
        case list() | tuple() | set() | frozenset():
            return [_clean(key, item) for item in list(value)[:100]]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case dict():
            return {str(name)[:FIELD]: _clean(str(name), item) for name, item in list(value.items())[:100]}  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case _:
            return f"<{type(value).__qualname__}>"


def _short(path: str) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-2:])


@cache
def _renderer(form: Literal["json", "console"]) -> Render:
    """A renderer of structlog as a plain function, without the logger argument it does not use."""
    import structlog  # noqa: PLC0415 - slow to import; see the module's docstring

    if form == "json":
        render = structlog.processors.JSONRenderer()
    else:
        render = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), event_key="event")
    return lambda record: str(render(None, record["level"], record))


class _Foreign(logging.Handler):
    """Takes the records of libraries: their format string without its arguments, which may be anything."""

    def emit(self, record: logging.LogRecord) -> None:
        level = next((name for name, number in LEVELS.items() if record.levelno <= number), "error")
        if LEVELS[level] < _settings.level:
            return
        fields: dict[str, Any] = {"place": f"{record.module}:{record.lineno}"}
        if record.exc_info and record.exc_info[1]:
            fields |= {"error": type(record.exc_info[1]).__qualname__, "stack": stack(record.exc_info[1])}
        emit(record.name, level, str(record.msg)[:200] if record.args else record.name, fields)


atexit.register(flush)
