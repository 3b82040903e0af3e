"""An answer as it is written: text to standard output, thoughts and figures to standard error."""

import sys
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import typer

from localai.cli.client import Client
from localai.cli.terminal import clean, faint, note


class Answer:
    """Writes the pieces of one streamed answer and keeps its text and figures."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.finish = ""
        self._pieces: list[str] = []
        self._usage: dict[str, Any] = {}
        self._clock = clock
        self._began = clock()
        self._first: float | None = None
        self._last = self._began
        self._thinking = False

    @property
    def text(self) -> str:
        """What the model said so far, as it said it."""
        return "".join(self._pieces)

    def ask(self, client: Client, path: str, body: dict[str, Any]) -> None:
        """Send the request and write its answer; an interrupt closes the connection, which ends the generation."""
        try:
            with closing(client.events(path, body)) as events:
                self.follow(events)
        finally:
            self._end()

    def follow(self, events: Iterable[dict[str, Any]]) -> None:
        """Write the pieces of an OpenAI stream as they come."""
        for event in events:
            self._usage = event.get("usage") or self._usage
            for choice in event.get("choices") or ():
                delta: dict[str, Any] = choice.get("delta") or {}
                self._thought(delta.get("reasoning_content") or "")
                self._say(delta.get("content") or choice.get("text") or "")
                self.finish = choice.get("finish_reason") or self.finish

    def figures(self) -> str:
        """Tokens, seconds and tokens a second, one a line."""
        prompt, completion = self._usage.get("prompt_tokens", 0), self._usage.get("completion_tokens", 0)
        details: dict[str, int] = self._usage.get("prompt_tokens_details") or {}
        cached = details.get("cached_tokens", 0)
        first = (self._first or self._last) - self._began
        spent = self._last - self._began - first
        rate = f"{(completion - 1) / spent:.1f} tokens/s" if completion > 1 and spent > 0 else "too short to tell"
        return (
            f"prompt       {prompt} tokens, {cached} of them cached\n"
            f"answer       {completion} tokens\n"
            f"first token  {first:.2f} s\n"
            f"speed        {rate}\n"
            f"total        {self._last - self._began:.2f} s"
        )

    def _thought(self, piece: str) -> None:
        if piece:
            self._mark()
            self._thinking = True
            sys.stderr.write(faint(piece))
            sys.stderr.flush()

    def _say(self, piece: str) -> None:
        if not piece:
            return
        self._mark()
        if self._thinking:
            self._thinking = False
            typer.echo("\n", err=True)
        self._pieces.append(piece)
        sys.stdout.write(clean(piece))
        sys.stdout.flush()

    def _mark(self) -> None:
        self._last = self._clock()
        self._first = self._first or self._last

    def _end(self) -> None:
        """Leave both streams at the beginning of a line, and say when the answer is not whole."""
        if self._thinking:
            typer.echo("", err=True)
        if self._pieces and not self._pieces[-1].endswith("\n"):
            typer.echo("")
        if self.finish == "length":
            note("(The answer is cut here: it reached its limit of tokens.)")
