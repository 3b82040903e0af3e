"""What is asked of a model: the options of `localai run`, and the request bodies they become."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localai.cli.errors import Failure, Misused

INPUT_LIMIT = 8 * 2**20
"""Bytes taken from standard input and from a schema file."""

RAW_TOKENS = 512
"""Longest answer to a raw prompt that names no limit: such a prompt often never ends by itself."""

Message = dict[str, str]


@dataclass(frozen=True)
class Options:
    """How to answer; None leaves it to the model."""

    system: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = None
    format: dict[str, Any] | None = None
    """An OpenAI `response_format`."""
    think: bool | None = None
    keep_alive: float | None = None
    verbose: bool = False


def chat_body(model: str, messages: Sequence[Message], options: Options) -> dict[str, Any]:
    """The body for `/v1/chat/completions`: the system message, then the conversation, streamed."""
    system = [{"role": "system", "content": options.system}] if options.system else []
    body = _body(model, options) | {"messages": [*system, *messages]}
    if options.think is not None:
        body["chat_template_kwargs"] = {"enable_thinking": options.think}
    return body


def raw_body(model: str, prompt: str, options: Options) -> dict[str, Any]:
    """The body for `/v1/completions`: the prompt goes to the model as it is, without a chat template."""
    return {"max_tokens": RAW_TOKENS} | _body(model, options) | {"prompt": prompt}


def _body(model: str, options: Options) -> dict[str, Any]:
    fields = {
        "temperature": options.temperature,
        "max_tokens": options.max_tokens,
        "seed": options.seed,
        "response_format": options.format,
        "keep_alive": options.keep_alive,
    }
    given = {name: value for name, value in fields.items() if value is not None}
    return {"model": model, "stream": True, "stream_options": {"include_usage": True}} | given


def response_format(text: str | None) -> dict[str, Any] | None:
    """The `response_format` for `--format`: `json`, or the path of a file with a JSON schema.

    Raises:
        Misused: There is no such file, or it holds no JSON schema.
    """
    if text is None:
        return None
    if text == "json":
        return {"type": "json_object"}
    fix = "`--format json`, or a file that holds a JSON schema: `--format schema.json`."
    path = Path(text)
    try:
        with path.open("rb") as file:
            schema: Any = json.loads(file.read(INPUT_LIMIT))
    except OSError:
        raise Misused(f"The schema file {text} cannot be read.", fix=fix) from None
    except ValueError:
        raise Misused(f"{text} does not hold JSON.", fix=fix) from None
    if not isinstance(schema, dict):
        raise Misused(f"{text} does not hold a JSON schema (an object).", fix=fix)
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def piped() -> str:
    """What was piped into standard input; nothing when a person sits there.

    Raises:
        Failure: It is too long or not text.
    """
    if sys.stdin is None or sys.stdin.isatty():  # pyright: ignore[reportUnnecessaryComparison] - None when closed
        return ""
    data = sys.stdin.buffer.read(INPUT_LIMIT + 1)
    if len(data) > INPUT_LIMIT:
        raise Failure(f"Standard input holds more than {INPUT_LIMIT // 2**20} MB.", fix="a shorter part of it.")
    try:
        return data.decode().strip()
    except UnicodeDecodeError:
        raise Failure("Standard input is not UTF-8 text.", fix="`iconv -t utf-8 FILE | localai run ...`") from None
