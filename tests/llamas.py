"""A loaded llama engine in the test's own process, and short ways to ask it."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from localai.core.event import Done, Event, Text, ToolCall
from localai.core.model import Loaded, Model, Sizing
from localai.core.task import Chat, Format, FreeText, Generate, Message, Sampling, Task, TextPart, Tool, ToolChoice

GREEDY = Sampling(temperature=0.0)


class Llama:
    """One model, loaded."""

    def __init__(self, folder: Path, model: Model, sizing: Sizing) -> None:
        from localai.engines.llama.engine import LlamaEngine

        self.engine = LlamaEngine()
        self.loaded: Loaded = self.engine.load(model, sizing, folder)

    def ask(self, task: Task, stop: threading.Event | None = None) -> list[Event]:
        events: list[Event] = []
        self.engine.run(task, events.append, stop or threading.Event())
        return events

    def say(self, task: Task) -> tuple[str, Done]:
        events = self.ask(task)
        return text(events), events[-1]


def text(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def calls(events: Iterable[Event]) -> list[tuple[str, str]]:
    """Name and arguments of each call, put together from its pieces."""
    found: dict[int, list[str]] = {}
    for event in events:
        if isinstance(event, ToolCall):
            kept = found.setdefault(event.index, ["", ""])
            kept[0] += event.name
            kept[1] += event.arguments
    return [(name, arguments) for name, arguments in found.values()]


def chat(
    *turns: str,
    system: str | None = None,
    tools: Sequence[Tool] = (),
    choice: ToolChoice | None = None,
    parallel: bool = True,
    form: Format | None = None,
    sampling: Sampling = GREEDY,
    **fields,
) -> Generate:
    """A conversation: user and assistant take turns."""
    messages = [Message(role="system", content=(TextPart(text=system),))] if system else []
    for place, turn in enumerate(turns):
        messages.append(Message(role=("user", "assistant")[place % 2], content=(TextPart(text=turn),)))
    prompt = Chat(
        messages=tuple(messages), tools=tuple(tools), tool_choice=choice or ToolChoice(), parallel_calls=parallel
    )
    return Generate(prompt=prompt, format=form or FreeText(), sampling=sampling, **fields)
