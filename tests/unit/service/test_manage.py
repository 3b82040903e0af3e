"""What an operator asks of the server."""

import json

import pytest

import managed
from localai.core.caller import LOCAL, Caller
from localai.core.errors import Conflict, Forbidden, InvalidRequest, ModelNotFound, NotFound

TINY_ONLY = Caller(id="t", owner="t", scopes=frozenset({"models"}), models=("tiny",))


@pytest.fixture
async def house(tmp_path):
    async with managed.house(tmp_path) as built:
        yield built


async def test_status(house):
    """The status counts models and sums up memory in bytes."""
    (house.folder / "models" / "bad.gguf").write_bytes(b"not a model")
    house.manage.url = "http://127.0.0.1:1"
    await house.manage.load(LOCAL, "echo", None)
    found = await house.manage.status(LOCAL)
    assert found["memory"] == {"total": 100, "reserved": 40, "used": 30, "free": 60}
    assert (found["models"], found["loaded"], found["url"]) == (2, 1, "http://127.0.0.1:1")
    assert "echo" in found["engines"]
    assert list(found["problems"]) == ["bad.gguf"]
    assert found["uptime"] >= 0


async def test_models(house):
    """Each model has one row with what its file and its header say and whether it is loaded."""
    await house.manage.load(LOCAL, "echo", None)
    rows = {row["name"]: row for row in await house.manage.models(LOCAL)}
    assert (rows["echo"]["state"], rows["tiny"]["state"]) == ("ready", "installed")
    assert (rows["echo"]["licence"], rows["echo"]["aliases"]) == ("MIT", ["parrot"])
    assert rows["tiny"]["parameters"] > 0
    assert rows["tiny"]["size"] > 0


async def test_model(house):
    """A model's details can be written out as JSON and hold its file, header and estimate, in bytes."""
    found = await house.manage.model(LOCAL, "tiny")
    json.dumps(found)
    assert "name: tiny" in found["file"]
    assert found["header"]["architecture"]
    parts = (found["estimate"][part] for part in ("weights", "cache", "compute", "other"))
    assert sum(parts) == found["estimate"]["total"] > 0
    assert found["estimate"]["context"] <= 256
    assert (await house.manage.model(LOCAL, "parrot"))["name"] == "echo"


async def test_damaged_model_is_still_shown(house):
    """A model whose file went bad after it was found still has a row."""
    (house.folder / "models" / "tiny.gguf").write_bytes(b"GGUF")
    assert "echo" in {row["name"] for row in await house.manage.models(LOCAL)}


async def test_rights(house):
    """A caller that may use some models sees and touches only those."""
    assert [row["name"] for row in await house.manage.models(TINY_ONLY)] == ["tiny"]
    await house.manage.load(LOCAL, "echo", None)
    assert house.manage.loaded(TINY_ONLY)["models"] == []
    for asked in (house.manage.model, house.manage.remove, house.manage.unload):
        with pytest.raises(ModelNotFound):
            await asked(TINY_ONLY, "echo")
    with pytest.raises(ModelNotFound):
        await house.manage.load(TINY_ONLY, "echo", None)


async def test_load(house):
    """A load answers the row of the model, found by an alias too, and hands the time to stay on."""
    row = await house.manage.load(LOCAL, "parrot", 60)
    assert (row["name"], row["state"], row["memory"], row["busy"]) == ("echo", "ready", 5, 0)
    assert house.fleet.keep_alive == 60
    assert [row["name"] for row in house.manage.loaded(LOCAL)["models"]] == ["echo"]
    await house.manage.unload(LOCAL, "echo")
    assert house.manage.loaded(LOCAL)["models"] == []


async def test_remove(house):
    """A removed model is unloaded first; one that stays busy is not removed."""
    await house.manage.load(LOCAL, "echo", None)
    house.fleet.stuck.add("echo")
    with pytest.raises(Conflict):
        await house.manage.remove(LOCAL, "echo")
    house.fleet.stuck.clear()
    await house.manage.remove(LOCAL, "echo")
    assert house.fleet.rows == {}
    with pytest.raises(ModelNotFound):
        await house.manage.remove(LOCAL, "echo")


async def test_pull(house, tmp_path):
    """What goes wrong with an installation is its last step."""
    steps = [step async for step in house.manage.pull(LOCAL, "nonsense:", None, None)]
    assert steps[-1].phase == "failed"
    with pytest.raises(Forbidden):
        _ = [step async for step in house.manage.pull(Caller(id="x", owner="x"), "starter", None, None)]


async def test_what_a_key_stores_is_its_own(house):
    """Keys of two names have two owners; a new key of the same name has the old one's, and an owner can be named."""
    made = [await house.manage.create_key(LOCAL, name, ["infer"], None, None) for name in ("ann", "bob", "ann", "", "")]
    owners = [(await house.keys.identify(key["secret"])).owner for key in made]
    assert owners[0] == owners[2]
    assert len({*owners, LOCAL.owner}) == 5
    shared = await house.manage.create_key(LOCAL, "bob", ["infer"], None, None, "team")
    assert (await house.keys.identify(shared["secret"])).owner == "team"


async def test_keys(house):
    """A key is shown once, listed without its secret, and gone once revoked."""
    made = await house.manage.create_key(LOCAL, "laptop", ["infer"], ["tiny"], 60)
    assert (await house.keys.identify(made["secret"])).models == ("tiny",)
    (row,) = await house.manage.keys()
    assert "secret" not in row
    assert (row["id"], row["scopes"], row["models"]) == (made["id"], ["infer"], ["tiny"])
    await house.manage.revoke_key(made["id"])
    assert await house.manage.keys() == []
    with pytest.raises(NotFound):
        await house.manage.revoke_key("nobody")
    with pytest.raises(InvalidRequest):
        await house.manage.create_key(LOCAL, "x", ["root"], None, None)
