"""API keys: made, listed, revoked and recognised."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from localai.auth.keys import FRESH, Keys
from localai.core.caller import LOCAL, Caller
from localai.core.errors import Forbidden, InvalidRequest, NotFound, Unauthenticated
from localai.storage.database import Database


class Clocks:
    """A wall clock and a monotonic clock that move when told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clocks:
    return Clocks()


@pytest.fixture
async def keys(tmp_path: Path, clock: Clocks):
    """Keys of an empty database."""
    database = await Database.open(tmp_path / "state.db")
    made = Keys(database, now=clock, clock=clock)
    yield made
    await made.close()
    await database.close()


async def make(keys: Keys, *, scopes=("infer",), models=None, expires=None, owner="ann", creator=LOCAL):
    return await keys.create("laptop", scopes, models, expires, owner, creator=creator)


async def test_create_and_identify(keys: Keys):
    """A key's secret stands for its owner, scopes and models."""
    row, secret = await make(keys, scopes=["infer", "models"], models=["a", "b", "a"])
    caller = await keys.identify(secret)
    assert caller == Caller(id=row.id, owner="ann", scopes=frozenset(("infer", "models")), models=("a", "b"))
    assert secret.startswith(f"sk-{row.id}-")
    assert len(secret.removeprefix(f"sk-{row.id}-")) == 43


async def test_secrets_are_not_kept(keys: Keys, tmp_path: Path):
    """No file of the database has the secret, and two keys have nothing in common."""
    _, first = await make(keys)
    _, second = await make(keys)
    assert first.split("-", 2)[2] != second.split("-", 2)[2]
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert first.split("-", 2)[2].encode() not in stored


async def test_list(keys: Keys, clock: Clocks):
    """The list has everything but secrets, newest first, of one owner or of all."""
    one, _ = await make(keys)
    clock.now += 1
    two, _ = await make(keys, owner="bob")
    assert await keys.list() == (two, one)
    assert await keys.list("ann") == (one,)
    assert await keys.list("eve") == ()


async def test_revoke(keys: Keys):
    """A revoked key is void at once, and stays in the list with the time."""
    row, secret = await make(keys)
    await keys.identify(secret)
    await keys.revoke(row.id)
    with pytest.raises(Unauthenticated):
        await keys.identify(secret)
    assert (await keys.list())[0].revoked is not None


async def test_revoked_elsewhere(keys: Keys, clock: Clocks, tmp_path: Path):
    """A key that another process revoked works for a second at most."""
    row, secret = await make(keys)
    await keys.identify(secret)
    await keys.close()
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("UPDATE keys SET revoked = 1 WHERE id = ?", (row.id,))
    clock.now += FRESH
    with pytest.raises(Unauthenticated):
        await keys.identify(secret)


async def test_revoke_of_another_owner(keys: Keys):
    """Somebody else's key does not exist."""
    row, secret = await make(keys)
    for owner, identifier in (("bob", row.id), ("ann", "no-such-key"), ("ann", "' OR '1'='1")):
        with pytest.raises(NotFound):
            await keys.revoke(identifier, owner)
    assert (await keys.identify(secret)).owner == "ann"
    await keys.revoke(row.id, "ann")


async def test_expiry(keys: Keys, clock: Clocks):
    """A key is void from the second it expires, even if it was just used."""
    row, secret = await make(keys, expires=60)
    assert row.expires == clock.now + 60
    clock.now += 59.9
    await keys.identify(secret)
    clock.now += 0.1
    with pytest.raises(Unauthenticated):
        await keys.identify(secret)


async def test_last_used(keys: Keys, clock: Clocks):
    """The last use is written down, at most once a minute."""
    _, secret = await make(keys)
    first = clock.now
    for step in (0, 30, 29.9):
        clock.now += step
        await keys.identify(secret)
        await keys.close()
        assert (await keys.list())[0].last_used == first
    clock.now += 0.2
    await keys.identify(secret)
    await keys.close()
    assert (await keys.list())[0].last_used == clock.now


async def test_wrong_secrets(keys: Keys):
    """H32: whatever is not a key's whole secret is refused, and the reason is never told."""
    row, secret = await make(keys)
    last = "A" if secret[-1] != "A" else "B"
    wrong = [
        None,
        "",
        " ",
        "sk-",
        secret[:-1],
        secret + "A",
        secret[:-1] + last,
        secret.upper(),
        f" {secret}",
        f"{secret}\n",
        secret.replace(row.id, "a" * 16),
        f"sk-{row.id}-" + "A" * 43,
        f"sk-{row.id}-" + "é" * 43,
        "' OR '1'='1",
        f"sk-{row.id[:-1]}'-" + "A" * 43,
        "sk-%-" + "A" * 58,
        "x" * 2**20,
        "\x00" * 63,
    ]
    messages: set[str] = set()
    for attempt in wrong:
        with pytest.raises(Unauthenticated) as caught:
            await keys.identify(attempt)
        messages.add(caught.value.message)
    assert len(messages) == 1
    assert (await keys.identify(secret)).id == row.id


@pytest.mark.parametrize("scopes", [[], ["root"], ["infer", "root"], ["public"], ["Infer"], [""]])
async def test_unknown_scopes(keys: Keys, scopes: list[str]):
    """H35: only known scopes can be given, and at least one."""
    with pytest.raises(InvalidRequest) as caught:
        await make(keys, scopes=scopes)
    assert caught.value.param == "scopes"


@pytest.mark.parametrize(
    ("field", "value"), [("name", "x" * 257), ("name", "a\nb"), ("owner", "x" * 257), ("expires", 0), ("expires", -1)]
)
async def test_unfit_fields(keys: Keys, field: str, value: object):
    """Names have an end, and a key expires in the future."""
    given = {"name": "laptop", "scopes": ["infer"], "models": None, "expires": None, "owner": "ann", field: value}
    with pytest.raises(InvalidRequest) as caught:
        await keys.create(**given, creator=LOCAL)
    assert caught.value.param == field


PARENT = Caller(id="p", owner="ann", scopes=frozenset(("infer", "models")), models=("a", "b"))


@pytest.mark.parametrize(
    "more",
    [
        {"scopes": ["admin"]},
        {"scopes": ["infer", "metrics"]},
        {"models": None},
        {"models": ["a", "c"]},
        {"owner": "bob"},
    ],
)
async def test_child_is_never_more(keys: Keys, more: dict[str, object]):
    """H35: a key cannot have a scope, a model or an owner that its creator has not."""
    with pytest.raises(Forbidden):
        await make(keys, **{"models": ["a"], "creator": PARENT, **more})
    assert await keys.list() == ()


async def test_child_within_bounds(keys: Keys):
    """A key may have what its creator has; an administrator may give anything to anybody."""
    row, _ = await make(keys, scopes=["infer", "models"], models=["b"], creator=PARENT)
    assert row.models == ("b",)
    row, _ = await make(keys, scopes=["admin", "metrics"], owner="bob")
    assert row.owner == "bob"


async def test_cache_is_bounded(keys: Keys, monkeypatch: pytest.MonkeyPatch):
    """However many keys are used, only so many are remembered."""
    monkeypatch.setattr("localai.auth.keys._CACHE", 3)
    secrets = [(await make(keys))[1] for _ in range(6)]
    for secret in secrets:
        await keys.identify(secret)
    assert len(keys._known) <= 3
    assert len(keys._noted) <= 3


async def test_recognised_key_is_not_looked_up_again(keys: Keys, monkeypatch: pytest.MonkeyPatch):
    """Within a second, a recognised key costs no query."""
    _, secret = await make(keys)
    await keys.identify(secret)
    await keys.close()
    monkeypatch.setattr(keys, "_rows", None)
    assert (await keys.identify(secret)).owner == "ann"
