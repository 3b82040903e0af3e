"""How much memory there is for models, and how much one gets: the blocking work, in threads, once for many who ask."""

import asyncio

from localai.config import Settings
from localai.core.model import Model, Sizing
from localai.fleet import device
from localai.loader.catalog import Catalog
from localai.loader.memory import size


class Budget:
    """Reads the machine and the headers of models."""

    def __init__(self, settings: Settings, catalog: Catalog) -> None:
        self._settings = settings
        self._catalog = catalog
        self._threads = settings.threads or device.threads()
        self._asked: dict[str, asyncio.Task[tuple[Sizing, int]]] = {}

    @property
    def fixed(self) -> bool:
        """Whether the settings name the memory, so that it never changes."""
        return self._settings.memory is not None

    async def read(self, pids: tuple[int, ...]) -> int:
        """Bytes for models: what is available, and what our processes give back when they end, less the reserve."""
        return await asyncio.to_thread(self.measure, pids)

    async def sizing(self, key: str, model: Model, pids: tuple[int, ...]) -> tuple[Sizing, int]:
        """What a model gets when it is loaded, and the budget that was found.

        Raises:
            InvalidModel: Its file is damaged, or its chat template is not fit to be used.
            NotEnoughMemory: It would not fit if it were alone.
        """
        task = self._asked.get(key)
        if task is None:
            task = self._asked[key] = asyncio.create_task(asyncio.to_thread(self._size, model, pids))
            task.add_done_callback(lambda done: self._answered(key, done))
        # One that leaves does not take the answer away from the others.
        return await asyncio.shield(task)

    def measure(self, pids: tuple[int, ...]) -> int:
        """The same as `read`, blocking."""
        if self._settings.memory is not None:
            return self._settings.memory
        free = device.available() + sum(device.held(pid) for pid in pids)
        return max(free - self._settings.memory_reserve, 0)

    def _answered(self, key: str, done: "asyncio.Task[tuple[Sizing, int]]") -> None:
        del self._asked[key]
        if not done.cancelled():
            done.exception()  # those who asked get it; when all of them left, nobody needs to hear of it

    def _size(self, model: Model, pids: tuple[int, ...]) -> tuple[Sizing, int]:
        budget = self.measure(pids)
        self._catalog.vet(model)
        header = self._catalog.header(model)
        given = size(model, header, budget=budget, context=self._settings.context, threads=self._threads)
        return given, budget
