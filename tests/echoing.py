"""A fake of `service.perform.Perform` that needs no processes: echo engines, each answer in a thread of its own."""

import asyncio
import threading
from pathlib import Path

from localai.core.errors import LocalAIError, ModelNotFound, TaskNotSupported, from_code
from localai.core.event import Done, Failed, Progress
from localai.core.model import Model, Sizing
from localai.core.task import verb
from localai.engines.echo import EchoEngine
from localai.service.about import About

ALL = ("chat", "complete", "embed", "rerank", "infill", "tokenize")


def echo(name="echo", tasks=ALL, aliases=(), **options):
    """An installed model that the echo engine runs."""
    return Model(name=name, engine="echo", tasks=tasks, aliases=aliases, options=options, created=1700000000)


class FakePerform:
    """Performs tasks by the contract of the real one; models named in `scripts` get their events from functions."""

    def __init__(self, *models, scripts=None, context=4096):
        self.installed = models or (echo(),)
        self.scripts = scripts or {}
        self.asked = []
        self.keep_alive = []
        self.rooms = []
        self.loads = []
        self.stopped = 0
        self._engines = {}
        for model in self.installed:
            engine = self._engines[model.name] = EchoEngine()
            engine.load(model, Sizing(context=context), Path())

    def behind(self):
        return self

    async def refresh(self):
        """Nothing comes or goes here."""

    def models(self, caller):
        return tuple(model for model in self.installed if caller.allows(model.name))

    def model(self, caller, name):
        for model in self.models(caller):
            if name in (model.name, *model.aliases):
                return model
        raise ModelNotFound(f"The model `{name}` does not exist.", param="model")

    async def about(self, models):
        return tuple(About(model=model) for model in models)

    async def load(self, model, *, keep_alive=None, context=None):
        self.loads.append((model.name, keep_alive, context))

    async def unload(self, model):
        self.loads.append((model.name, 0, None))

    def choose(self, caller, name, task):
        model = self.model(caller, name) if name else self.installed[0]
        if verb(task) not in model.tasks:
            raise TaskNotSupported(f"The model `{model.name}` cannot do `{verb(task)}`.", param="model")
        return model

    async def stream(self, caller, model, task, *, keep_alive=None, context=None, background=False):
        chosen = self.choose(caller, model, task)
        self.asked.append(task)
        self.keep_alive.append(keep_alive)
        self.rooms.append(context)
        if chosen.name in self.scripts:
            for event in self.scripts[chosen.name]():
                await asyncio.sleep(0)
                if isinstance(event, Exception):
                    raise event
                yield (event,)
            return
        async for batch in self._run(self._engines[chosen.name], task):
            yield batch

    async def whole(self, caller, model, task, *, background=False):
        batches = [batch async for batch in self.stream(caller, model, task)]
        return tuple(event for batch in batches for event in batch if not isinstance(event, Progress))

    async def _run(self, engine, task):
        loop, events, stop = asyncio.get_running_loop(), asyncio.Queue(), threading.Event()

        def emit(event):
            loop.call_soon_threadsafe(events.put_nowait, event)

        def work():
            try:
                engine.run(task, emit, stop)
            except LocalAIError as error:
                emit(Failed(code=error.code, message=error.message, param=error.param))

        working = loop.run_in_executor(None, work)
        try:
            while True:
                event = await events.get()
                if isinstance(event, Failed):
                    raise from_code(event.code, event.message, param=event.param)
                yield (event,)
                if isinstance(event, Done):
                    return
        finally:
            self.stopped += not working.done()
            stop.set()
            await asyncio.wait({working})
