"""The one path of every task."""

from pathlib import Path

import pytest
from prometheus_client import generate_latest

from localai.core.caller import LOCAL, Caller
from localai.core.errors import AnswerTooLarge, EngineCrashed, LocalAIError, ModelNotFound, TaskNotSupported
from localai.core.event import Done, Event, Progress, Text, ToolCall, Usage
from localai.core.task import Chat, Embed, Generate, Rerank, Task, Tokenize
from localai.fleet.snapshot import Row, Snapshot
from localai.loader.catalog import Catalog
from localai.loader.file import ModelFile
from localai.observe.metrics import Metrics
from localai.service.perform import Perform
from localai.storage.blobs import Blobs

CHAT = Generate(prompt=Chat(messages=()))


class FakeFleet:
    """A fleet without processes: answers with the batches it was given, and remembers what it was asked."""

    def __init__(self) -> None:
        self.batches: list[tuple[Event, ...]] = [
            (Text(text="a"),),
            (Text(text="b"), Done(usage=Usage(prompt=3, completion=2))),
        ]
        self.error: LocalAIError | None = None
        self.asked: list[tuple[str, Task]] = []
        self.closed = 0
        self.ready: tuple[str, ...] = ()
        self.contexts: list[int | None] = []
        self.loads: list[tuple[str, int | None, float | None]] = []

    async def run(self, model, task, *, keep_alive=None, on_unread=None, background=False):
        self.on_unread = on_unread
        self.asked.append((model.name, task))
        self.contexts.append(model.context)
        try:
            for batch in self.batches:
                yield batch
            if self.error:
                raise self.error
        finally:
            self.closed += 1

    async def load(self, model, keep_alive=None):
        self.loads.append((model.name, model.context, keep_alive))

    async def unload(self, name):
        self.loads.append((name, None, 0))

    def snapshot(self) -> Snapshot:
        rows = tuple(Row(name=name, state="ready") for name in self.ready)
        return Snapshot(models=rows)


class House:
    """Perform over a real catalog and a fleet double."""

    def __init__(self, home: Path) -> None:
        self.catalog = Catalog(home / "models", Blobs(home / "blobs"))
        self.fleet = FakeFleet()
        self.metrics = Metrics()
        self.perform = Perform(catalog=self.catalog, fleet=self.fleet, metrics=self.metrics)

    def add(self, name: str, *tasks: str, aliases: tuple[str, ...] = ()) -> None:
        self.catalog.write(ModelFile(name=name, engine="echo", tasks=list(tasks), aliases=list(aliases)))

    async def collect(self, caller: Caller, model: str | None, task: Task) -> list[Event]:
        return [event async for batch in self.perform.stream(caller, model, task) for event in batch]


@pytest.fixture
def house(tmp_path: Path) -> House:
    made = House(tmp_path)
    made.add("talker", "chat", "complete", aliases=("gpt",))
    made.add("embedder", "embed")
    return made


async def test_events_come_through_in_order(house: House):
    """What the fleet gives is what the dialect gets, Done last."""
    events = await house.collect(LOCAL, "talker", CHAT)
    assert [type(event) for event in events] == [Text, Text, Done]
    assert house.fleet.closed == 1


async def test_an_alias_is_resolved(house: House):
    """A request by an alias runs on the model behind it."""
    await house.collect(LOCAL, "gpt", CHAT)
    assert house.fleet.asked == [("talker", CHAT)]


async def test_a_model_that_cannot_is_told_who_can(house: House):
    """A model asked for what it cannot do is refused with the names of those that can."""
    with pytest.raises(TaskNotSupported, match="embedder"):
        await house.collect(LOCAL, "talker", Embed(inputs=("x",)))
    assert not house.fleet.asked


async def test_every_model_counts_tokens(house: House):
    """Tokenising needs no capability of its own."""
    await house.collect(LOCAL, "embedder", Tokenize(text="x"))
    assert house.fleet.asked == [("embedder", Tokenize(text="x"))]


async def test_no_name_takes_a_model_that_can(house: House):
    """Without a name the request goes to a model that can do the task."""
    await house.collect(LOCAL, None, Embed(inputs=("x",)))
    assert house.fleet.asked[0][0] == "embedder"


async def test_no_name_prefers_what_is_loaded(house: House):
    """Without a name a loaded model is taken before one that would have to be loaded."""
    house.add("another", "chat")
    house.fleet.ready = ("another",)
    await house.collect(LOCAL, None, CHAT)
    assert house.fleet.asked[0][0] == "another"


async def test_nothing_that_can(house: House):
    """Without any model for the task the answer says how to get one."""
    with pytest.raises(ModelNotFound, match="localai pull"):
        await house.collect(LOCAL, None, Rerank(query="q", documents=("d",)))


async def test_a_model_one_may_not_use_does_not_exist(house: House):
    """A key limited to other models gets not-found, for a request, a look-up and in the list."""
    caller = Caller(id="k", owner="k", scopes=frozenset(("infer",)), models=("embedder",))
    with pytest.raises(ModelNotFound):
        await house.collect(caller, "talker", CHAT)
    with pytest.raises(ModelNotFound):
        house.perform.model(caller, "talker")
    assert [model.name for model in house.perform.models(caller)] == ["embedder"]


async def test_a_key_for_an_alias_opens_the_alias_only(house: House):
    """A key limited to an alias may use the model under that name."""
    caller = Caller(id="k", owner="k", scopes=frozenset(("infer",)), models=("gpt",))
    await house.collect(caller, "gpt", CHAT)
    with pytest.raises(ModelNotFound):
        await house.collect(caller, "talker", CHAT)


async def test_errors_come_through_and_close(house: House):
    """An error of the fleet reaches the dialect as itself, and the run is closed."""
    house.fleet.batches, house.fleet.error = [(Text(text="a"),)], EngineCrashed()
    with pytest.raises(EngineCrashed):
        await house.collect(LOCAL, "talker", CHAT)
    assert house.fleet.closed == 1


async def test_leaving_closes_the_run(house: House):
    """Closing the stream early closes the run in the fleet at once."""
    stream = house.perform.stream(LOCAL, "talker", CHAT)
    await anext(stream)
    await stream.aclose()
    assert house.fleet.closed == 1


async def test_whole_leaves_progress_out(house: House):
    """All events at once are those of the answer, without the progress before it."""
    house.fleet.batches = [(Progress(stage="queued"),), (Text(text="a"), Done())]
    assert await house.perform.whole(LOCAL, "talker", CHAT) == (Text(text="a"), Done())


async def test_tokens_are_counted(house: House):
    """What an answer used is in the metrics under the installed model's name."""
    await house.collect(LOCAL, "gpt", CHAT)
    lines = generate_latest(house.metrics.registry).decode().splitlines()
    counted = [line for line in lines if line.startswith("localai_tokens_total") and 'model="talker"' in line]
    assert sorted(float(line.rsplit(" ", 1)[1]) for line in counted)[-2:] == [2.0, 3.0]


async def test_what_is_left_unread_is_counted(house: House):
    """What an engine made for a client that left is counted: as the engine tells it, and never less than was sent."""
    house.fleet.batches = [(Progress(stage="prefill", done=7, total=7),), (Text(text="a"), Text(text="b"))]
    answer = house.perform.stream(LOCAL, "gpt", CHAT)
    await anext(answer)
    await anext(answer)
    await answer.aclose()
    for done in (Done(), Done(usage=Usage(prompt=7, completion=5))):
        house.fleet.on_unread(done)
    lines = generate_latest(house.metrics.registry).decode().splitlines()
    counted = {
        kind: float(line.rsplit(" ", 1)[1])
        for line in lines
        for kind in ("prompt", "completion")
        if line.startswith(f'localai_tokens_total{{kind="{kind}"')
    }
    assert counted == {"prompt": 14.0, "completion": 2.0 + 5.0}


async def test_an_endless_answer_is_ended(house: House):
    """An answer that holds more than any may is ended with answer_too_large, and its run is closed."""
    house.fleet.batches = [(ToolCall(index=10_000, name="x"),)]
    with pytest.raises(AnswerTooLarge):
        await house.collect(LOCAL, "gpt", CHAT)
    assert house.fleet.closed == 1


async def test_a_new_model_is_seen(house: House, tmp_path: Path):
    """A model that appears in the folder can be asked for at once."""
    (tmp_path / "models" / "fresh.yaml").write_text("{name: fresh, engine: echo, tasks: [chat]}")
    await house.collect(LOCAL, "fresh", CHAT)
    assert house.fleet.asked == [("fresh", CHAT)]


async def test_about_joins_what_is_known(house: House):
    """What is known of a model is its own facts and whether it runs; an engine without a file has no header."""
    house.fleet.ready = ("talker",)
    talker, embedder = await house.perform.about(
        [house.perform.model(LOCAL, "talker"), house.perform.model(LOCAL, "embedder")]
    )
    assert (talker.state, embedder.state) == ("ready", None)
    assert (talker.header, talker.default) == (None, 0)


async def test_latest_is_no_tag_at_all(house: House):
    """A key for a model or an alias may ask for it with `:latest` behind its name."""
    for allowed in ("talker", "gpt"):
        caller = Caller(id="k", owner="k", scopes=frozenset({"infer"}), models=(allowed,))
        assert house.perform.model(caller, f"{allowed}:latest").name == "talker"
    with pytest.raises(ModelNotFound):
        house.perform.model(Caller(id="k", owner="k", models=("gpt",)), "talker:latest")


async def test_a_request_may_want_more_room(house: House):
    """A request that wants more context than is planned runs on the model with that much; others do not."""
    async for _ in house.perform.stream(LOCAL, "talker", CHAT, context=4096):
        pass
    await house.collect(LOCAL, "talker", CHAT)
    assert house.fleet.contexts == [4096, None]


async def test_models_are_loaded_and_unloaded(house: House):
    """A model is loaded with the room that is wanted; unloading one that is not loaded is no work."""
    model = house.perform.model(LOCAL, "talker")
    await house.perform.load(model, keep_alive=5, context=4096)
    await house.perform.unload(model)
    house.fleet.ready = ("talker",)
    await house.perform.unload(model)
    assert house.fleet.loads == [("talker", 4096, 5), ("talker", None, 0)]
