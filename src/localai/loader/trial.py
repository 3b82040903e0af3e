"""The helper process that tries a chat template: reads it from standard input, answers by its exit status.

Started by `loader.template` as `python -I -m localai.loader.trial`; everything that could hurt is limited before
the template is compiled. The names and extensions are those that chat templates of transformers and llama.cpp use.
"""

import contextlib
import datetime as dt
import json
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, Never

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox

SECONDS = 0.8
"""Wall time for compiling and rendering."""
MEMORY = 128 * 2**20
"""Bytes of address space."""
OUTPUT = 2**20
"""Characters of one rendered conversation."""
FINE, SYNTAX, UNSAFE, HUGE, MEMORY_SHORT, DEEP = 0, 10, 11, 12, 13, 14


class Refused(Exception):
    """The template did what no chat template does; `args[0]` is the exit status."""


class _Raised(Exception):
    """The template itself refused the conversation through `raise_exception`."""


class _Generation(jinja2.ext.Extension):
    """`{% generation %}...{% endgeneration %}`, which marks the assistant's words for training."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Sandbox(jinja2.sandbox.ImmutableSandboxedEnvironment):
    """Refuses at once what the ordinary sandbox answers with an undefined value."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if attr.startswith("__") or jinja2.sandbox.is_internal_attribute(obj, attr):
            raise Refused(UNSAFE)
        return super().is_safe_attribute(obj, attr, value)


def _raise(message: object = "") -> Never:
    raise _Raised(message)


def _now(form: str) -> str:
    return dt.datetime.now(tz=dt.UTC).strftime(form)


def _json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002  # the order is that of transformers' filter
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _environment() -> jinja2.Environment:
    environment = _Sandbox(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do", _Generation]
    )
    environment.filters["tojson"] = _json
    return environment


_USER = {"role": "user", "content": "Hello"}
_SYSTEM = {"role": "system", "content": "Be kind."}
_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Where"}}},
    },
}
_CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"id": "call00001", "type": "function", "function": {"name": "weather", "arguments": {"city": "Rome"}}}
    ],
}
_RESULT = {"role": "tool", "tool_call_id": "call00001", "name": "weather", "content": "sunny"}
_CONVERSATIONS: tuple[dict[str, Any], ...] = (
    {"messages": [_SYSTEM, _USER, {"role": "assistant", "content": "Hi!"}, _USER]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]},
    {"messages": [_SYSTEM, _USER, _CALL, _RESULT], "tools": [_TOOL]},
)


def attempt(source: str) -> None:
    """Compile a template and write the trial conversations out.

    That it does not take one of them (an error of its own, a missing field) says nothing against it.

    Raises:
        Refused: It does not compile, or broke out, or wrote without end.
    """
    environment = _environment()
    try:
        tree = environment.parse(source)
        if _reaches_inside(tree):
            raise Refused(UNSAFE)
        template = environment.from_string(source, globals={"raise_exception": _raise, "strftime_now": _now})
    except jinja2.TemplateSyntaxError:
        raise Refused(SYNTAX) from None
    for conversation in _CONVERSATIONS:
        _render(template, conversation)


def _reaches_inside(tree: jinja2.nodes.Template) -> bool:
    """Whether the text names a double-underscore attribute anywhere, rendered or not."""
    fields = [node.attr for node in tree.find_all(jinja2.nodes.Getattr) if node.attr.startswith("__")]
    fields += [node.value for node in tree.find_all(jinja2.nodes.Const) if node.value in _INSIDES]
    return bool(fields)


_INSIDES = frozenset(
    ("__class__", "__base__", "__bases__", "__mro__", "__subclasses__", "__globals__", "__builtins__", "__init__")
)


def _render(template: jinja2.Template, conversation: dict[str, Any]) -> None:
    given = {"tools": None, "documents": None, "add_generation_prompt": True, "bos_token": "<s>", "eos_token": "</s>"}
    try:
        written = sum(len(piece) for piece in _bounded(template.generate(given | conversation)))
    except (Refused, MemoryError, RecursionError):
        raise
    except Exception:  # noqa: BLE001  # a conversation it does not take; any error may come out of a template
        return
    if written > OUTPUT:
        raise Refused(HUGE)


def _bounded(pieces: Iterator[str]) -> Iterator[str]:
    """The pieces up to the first beyond OUTPUT characters."""
    written = 0
    for piece in pieces:
        yield piece
        written += len(piece)
        if written > OUTPUT:
            return


def _limit() -> None:
    """Take from this process what a template does not need."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415  # Windows has none

        resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    sys.addaudithook(_watch)


_FORBIDDEN = ("open", "os.", "socket.", "subprocess.", "ctypes.", "shutil.", "exec.", "pty.", "fcntl.", "mmap.")


def _watch(event: str, _: tuple[Any, ...]) -> None:
    if event.startswith(_FORBIDDEN):
        raise Refused(UNSAFE)


def _warm(action: Callable[[str], None]) -> None:
    """Import what rendering imports late, while files may still be opened."""
    action("{{ strftime_now('%Y') }}{{ messages | tojson | wordwrap(9) }}{{ raise_exception('no') }}")


def main() -> int:
    """Try the template of standard input; return FINE or what is wrong with it."""
    source = sys.stdin.buffer.read().decode("utf-8", "replace")
    _warm(attempt)
    _limit()
    try:
        attempt(source)
    except Refused as refused:
        return int(refused.args[0])
    except MemoryError:
        return MEMORY_SHORT
    except RecursionError:
        return DEEP
    return FINE


if __name__ == "__main__":
    sys.exit(main())
