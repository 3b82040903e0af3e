"""What the handlers of every dialect do with a task: find its model, have it performed, wait for all of it."""

from collections.abc import AsyncGenerator, Sequence

from starlette.requests import Request

from localai.api import visit
from localai.api.answer import Answer
from localai.api.flow import collect
from localai.api.merge import Numbered, merge
from localai.api.replies import attended
from localai.core.caller import Caller
from localai.core.event import Event
from localai.core.model import Model
from localai.core.task import Generate, Task
from localai.service.perform import Perform


class Asking:
    """Asks `Perform` on behalf of HTTP requests."""

    def __init__(self, perform: Perform) -> None:
        self.perform = perform

    async def choose(self, request: Request, caller: Caller, name: str | None, task: Task) -> Model:
        """The model that will answer; its installed name is what answers and metrics show."""
        await self.perform.refresh()
        model = self.perform.choose(caller, name, task)
        visit.of(request).model = model.name
        return model

    def run(
        self, caller: Caller, name: str | None, tasks: Sequence[Generate], keep_alive: float | None = None
    ) -> AsyncGenerator[Numbered, None]:
        """The events of generations as they come, each batch with the number of its task."""
        return merge([self.perform.stream(caller, name, task, keep_alive=keep_alive) for task in tasks])

    async def whole(
        self, request: Request, caller: Caller, name: str | None, task: Task
    ) -> tuple[Model, tuple[Event, ...]]:
        """The model that answered, and all events; stops when the client leaves."""
        model = await self.choose(request, caller, name, task)
        return model, await attended(request, self.perform.whole(caller, name, task))

    async def answers(
        self, request: Request, caller: Caller, name: str | None, tasks: Sequence[Generate]
    ) -> tuple[Model, list[Answer]]:
        """The model that answered, and whole answers in the order of the tasks; stops when the client leaves."""
        model = await self.choose(request, caller, name, tasks[0])
        return model, await attended(request, collect(self.run(caller, name, tasks), len(tasks)))
