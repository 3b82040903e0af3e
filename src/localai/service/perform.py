"""The one path of every task of every dialect: name, rights, fleet, accounting."""

import asyncio
import copy
import time
from collections.abc import AsyncGenerator, Sequence
from typing import Self

from localai.core.caller import Caller
from localai.core.errors import InvalidModel, LocalAIError, ModelNotFound, TaskNotSupported
from localai.core.event import Done, Event, Progress, Text, Thought, ToolCall
from localai.core.model import Model
from localai.core.task import Task, verb
from localai.fleet.fleet import Fleet
from localai.loader.catalog import Catalog
from localai.loader.header import Header
from localai.loader.name import LATEST
from localai.observe.logs import get
from localai.observe.metrics import Metrics
from localai.service.about import About
from localai.service.contexts import Contexts
from localai.service.extent import Extent

log = get("perform")

Batch = tuple[Event, ...]

_PIECES = (Text, Thought, ToolCall)


class Perform:
    """Answers tasks. A dialect gives it a caller, a model name and a Task, and gets Events."""

    def __init__(self, *, catalog: Catalog, fleet: Fleet, metrics: Metrics, context: int = 0) -> None:
        """Take the rooms; `context` is the tokens of one request of a model whose file names none (0: not known)."""
        self._catalog = catalog
        self._fleet = fleet
        self._metrics = metrics
        self._context = context
        self._behind = False
        self._contexts = Contexts(catalog, fleet, context)

    def behind(self) -> Self:
        """The same, for requests that all give way to live ones (see `stream`)."""
        other = copy.copy(self)
        other._behind = True  # noqa: SLF001 - one of our own
        return other

    async def refresh(self) -> None:
        """See what came to and went from the models folder; files are read in a thread, when something changed."""
        if not self._catalog.fresh():
            await asyncio.to_thread(self._catalog.models)

    def model(self, caller: Caller, name: str) -> Model:
        """The installed model of this name or alias.

        Raises:
            ModelNotFound: There is none, or this caller may not use it (by its name or by the alias asked for).
        """
        found = self._catalog.find(name)
        if not (caller.allows(name) or caller.allows(name.removesuffix(LATEST))):
            caller.require_model(found.name)
        return found

    def models(self, caller: Caller) -> tuple[Model, ...]:
        """All models this caller may use."""
        return tuple(model for model in self._catalog.models() if any(map(caller.allows, (model.name, *model.aliases))))

    async def about(self, models: Sequence[Model]) -> tuple[About, ...]:
        """What is known of these installed models; their headers are read in a thread, once."""
        headers = await asyncio.to_thread(lambda: [self._header(model) for model in models])
        rows = {row.name: row for row in self._fleet.snapshot().models}
        return tuple(
            About(model=model, header=header, running=rows.get(model.name), default=self._context)
            for model, header in zip(models, headers, strict=True)
        )

    def _header(self, model: Model) -> Header | None:
        try:
            return self._catalog.header(model)
        except InvalidModel:
            return None

    def choose(self, caller: Caller, name: str | None, task: Task) -> Model:
        """The model for a task: the named one, or for no name the one loaded, else the first installed, that can do it.

        Raises:
            ModelNotFound: No such model, or no model can do this.
            TaskNotSupported: The named model cannot do this; the message lists those that can.
        """
        needs = verb(task)
        able = [model for model in self.models(caller) if _can(model, needs)]
        if name:
            model = self.model(caller, name)
            if not _can(model, needs):
                others = ", ".join(f"`{other.name}`" for other in able[:5]) or "none installed"
                raise TaskNotSupported(
                    f"The model `{model.name}` cannot do `{needs}`. Models that can: {others}.", param="model"
                )
            return model
        if not able:
            raise ModelNotFound(
                f"No installed model can do `{needs}`. Install one, for example with `localai pull starter`.",
                param="model",
            )
        loaded = {row.name for row in self._fleet.snapshot().models if row.state == "ready"}
        return next((model for model in able if model.name in loaded), min(able, key=lambda model: model.created))

    async def stream(
        self,
        caller: Caller,
        model: str | None,
        task: Task,
        *,
        keep_alive: float | None = None,
        context: int | None = None,
        background: bool = False,
    ) -> AsyncGenerator[Batch, None]:
        """Answer a task with batches of events as they come; the last event is Done.

        Closing the generator cancels the request in the engine. `context` is how many tokens the request wants to
        have room for; the model is loaded anew where it has less (see `service.contexts`). A `background` request
        gives way to all others, and waits for as long as it takes.

        Raises:
            LocalAIError: Before or between batches; nothing follows it.
        """
        await self.refresh()
        chosen = self.choose(caller, model, task)
        chosen = await self._contexts.fit(chosen, context)
        account, extent = _Account(self._metrics, chosen.name), Extent()
        batches = self._fleet.run(
            chosen,
            task,
            keep_alive=keep_alive,
            on_unread=account.unread,
            background=background or self._behind,
        )
        try:
            async for batch in batches:
                account.hear(batch)
                extent.hear(batch)
                yield batch
        except LocalAIError as error:
            account.close(error.code)
            raise
        finally:
            await batches.aclose()
            account.close("left")

    async def load(self, model: Model, *, keep_alive: float | None = None, context: int | None = None) -> None:
        """Load a model that `model` or `choose` gave, with room for `context` tokens; return once it can answer.

        Raises:
            LocalAIError: It cannot be loaded, or not now.
        """
        await self._fleet.load(await self._contexts.fit(model, context), keep_alive)

    async def unload(self, model: Model) -> None:
        """Unload a model that `model` or `choose` gave, after the requests that run on it.

        Raises:
            Conflict: It is busy for too long.
        """
        if any(row.name == model.name and row.state != "resting" for row in self._fleet.snapshot().models):
            await self._fleet.unload(model.name)

    async def whole(self, caller: Caller, model: str | None, task: Task, *, background: bool = False) -> Batch:
        """All events of a task at once, Progress left out."""
        events: list[Event] = []
        async for batch in self.stream(caller, model, task, background=background):
            events += [event for event in batch if not isinstance(event, Progress)]
        return tuple(events)


def _can(model: Model, needs: str) -> bool:
    return needs == "tokenize" or needs in model.tasks


class _Account:
    """Times and counts one answer, and writes one log line about it (never its text)."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._metrics = metrics
        self._model = model
        self._began = time.monotonic()
        self._first: float | None = None
        self._read = 0
        self._pieces = 0
        self._open = True

    def hear(self, batch: Sequence[Event]) -> None:
        pieces = len([event for event in batch if isinstance(event, _PIECES)])
        self._pieces += pieces
        if self._first is None:
            self._hear_prompt(batch)
        if self._first is None and pieces:
            self._first = time.monotonic()
            self._metrics.first_token(self._model, self._first - self._began)
        if isinstance(batch[-1], Done):
            self._done(batch[-1])

    def _hear_prompt(self, batch: Sequence[Event]) -> None:
        for event in batch:
            if isinstance(event, Progress) and event.stage == "prefill":
                self._read = max(self._read, int(event.done))

    def _done(self, done: Done) -> None:
        usage = done.usage
        self._metrics.tokens(self._model, usage.prompt, usage.completion, usage.cached)
        if self._first is not None and usage.completion > 1:
            self._metrics.per_token(self._model, (time.monotonic() - self._first) / (usage.completion - 1))
        self.close(done.finish, prompt=usage.prompt, completion=usage.completion, cached=usage.cached)

    def unread(self, done: Done) -> None:
        """Count what was made for a client that had left; an engine may not tell it of what it stopped."""
        usage = done.usage
        prompt, completion = usage.prompt or self._read, max(usage.completion, self._pieces)
        self._metrics.tokens(self._model, prompt, completion, usage.cached)
        log.info("ended unread", model=self._model, prompt=prompt, completion=completion)

    def close(self, outcome: str, **counts: int) -> None:
        if self._open:
            self._open = False
            log.info(
                "answered",
                model=self._model,
                outcome=outcome,
                seconds=round(time.monotonic() - self._began, 4),
                **counts,
            )
