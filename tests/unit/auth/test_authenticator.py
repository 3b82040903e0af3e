"""From a secret to a caller."""

import contextlib
import hmac
from pathlib import Path

import pytest

from localai.auth import authenticator as module
from localai.auth.authenticator import ADMIN, CONFIGURED, Authenticator
from localai.auth.keys import Keys
from localai.core.caller import LOCAL
from localai.core.errors import Unauthenticated
from localai.storage.database import Database

FILE, SETTING = "sk-admin-" + "f" * 43, "my-setting"


@pytest.fixture
async def keys(tmp_path: Path):
    database = await Database.open(tmp_path / "state.db")
    made = Keys(database)
    yield made
    await made.close()
    await database.close()


async def test_operator(keys: Keys):
    """The key file's and the settings' key may do everything, and own the same things as an open server's caller."""
    authenticator = Authenticator(keys, FILE, SETTING)
    assert await authenticator.identify(FILE) == ADMIN
    assert await authenticator.identify(SETTING) == CONFIGURED
    for caller in (ADMIN, CONFIGURED):
        caller.require("admin")
        assert caller.owner == LOCAL.owner


async def test_database(keys: Keys):
    """Other keys are those of the database."""
    row, secret = await keys.create("x", ["infer"], None, None, "ann", creator=LOCAL)
    assert await Authenticator(keys, FILE, SETTING).identify(secret) == row.caller()


@pytest.mark.parametrize(
    "secret",
    [
        None,
        "",
        " ",
        FILE[:-1],
        FILE + " ",
        FILE.upper(),
        SETTING[:-1],
        "my-settíng",
        "' OR '1'='1",
        "\x00",
        "\ud800",
        "x" * 2**20,
        FILE + "\x00",
    ],
)
async def test_wrong(keys: Keys, secret: str | None):
    """H32: everything else is nobody's."""
    with pytest.raises(Unauthenticated):
        await Authenticator(keys, FILE, SETTING).identify(secret)


@pytest.mark.parametrize("missing", [None, ""])
async def test_no_operator_key(keys: Keys, missing: str | None):
    """A key that is not configured is matched by nothing, not even by an empty one."""
    with pytest.raises(Unauthenticated):
        await Authenticator(keys, missing, missing).identify("")


async def test_open_server(keys: Keys):
    """An open server takes anybody, with any key or none, and still knows those it knows."""
    row, secret = await keys.create("x", ["infer"], None, None, "ann", creator=LOCAL)
    authenticator = Authenticator(keys, FILE, None, open=True)
    for nobody in (None, "", "sk-no-key-required", "x" * 2**20):
        assert await authenticator.identify(nobody) == LOCAL
    assert await authenticator.identify(secret) == row.caller()
    assert await authenticator.identify(FILE) == ADMIN


async def test_constant_time(keys: Keys, monkeypatch: pytest.MonkeyPatch):
    """Every attempt is compared with every fixed key, by digests of equal length, in constant time."""
    compared: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return real(one, other)

    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    authenticator = Authenticator(keys, FILE, SETTING)
    for secret in (FILE, SETTING, "wrong", "w" * 500):
        compared.clear()
        with contextlib.suppress(Unauthenticated):
            await authenticator.identify(secret)
        assert compared == [(32, 32), (32, 32)]


async def test_too_long_is_not_even_hashed(keys: Keys, monkeypatch: pytest.MonkeyPatch):
    """A secret of a megabyte costs nothing."""
    authenticator = Authenticator(keys, FILE, SETTING)
    monkeypatch.setattr(module, "_digest", None)
    with pytest.raises(Unauthenticated):
        await authenticator.identify("x" * 2**20)
