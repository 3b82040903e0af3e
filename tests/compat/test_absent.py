"""Every route of the newest OpenAI library is offered, or known not to be."""

import re
from pathlib import Path

import pytest

import venvs
from localai.api.absent import absent

pytestmark = [pytest.mark.compat, pytest.mark.slow]


def test_every_resource_of_the_sdk_is_offered_or_absent():
    """Whatever group of routes the newest OpenAI library has is either offered here or known to be absent."""
    lock = Path(__file__).with_name("openai3.lock")
    (resources,) = venvs.python(lock).parents[1].glob("lib/python*/site-packages/openai/resources")
    paths = {
        match
        for source in resources.rglob("*.py")
        for match in re.findall(
            r'(?:_post|_get|_get_api_list|_delete)\(\s*(?:path_template\()?f?r?"/(\w+)', source.read_text()
        )
    }
    offered = {
        "batches",
        "chat",
        "completions",
        "conversations",
        "decisions",
        "embeddings",
        "files",
        "models",
        "moderations",
        "responses",
        "uploads",
        "vector_stores",
    }
    assert len(paths) > 20
    assert {path for path in paths - offered if absent(f"/v1/{path}") is None} == set()
