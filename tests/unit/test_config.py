"""Settings."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from localai.config import Settings


def test_flags_beat_variables_beat_defaults(monkeypatch: pytest.MonkeyPatch):
    """A value given as a flag stands above the variable, and that above the default."""
    monkeypatch.setenv("LOCALAI_PORT", "9000")
    assert Settings().port == 9000
    assert Settings(port=9001).port == 9001
    monkeypatch.delenv("LOCALAI_PORT")
    assert Settings().port == 8080


def test_lists_have_commas(monkeypatch: pytest.MonkeyPatch):
    """Several hosts or origins are given with commas between them."""
    monkeypatch.setenv("LOCALAI_ALLOWED_HOSTS", "ai.example.org, box")
    assert Settings().allowed_hosts == ("ai.example.org", "box")
    assert Settings(allowed_origins=("https://a",)).allowed_origins == ("https://a",)


def test_everything_lies_in_the_home(tmp_path: Path):
    """All files of a server lie below its home."""
    settings = Settings(home=tmp_path)
    for path in (
        settings.models,
        settings.blobs,
        settings.run,
        settings.database,
        settings.admin_key,
        settings.address,
    ):
        assert path.is_relative_to(tmp_path)


def test_nonsense_is_refused():
    """A value out of range is refused and names the field."""
    with pytest.raises(ValidationError, match="port"):
        Settings(port=70000)
