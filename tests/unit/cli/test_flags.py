"""The flags of `serve` come from the settings."""

from pathlib import Path
from typing import Literal

import pytest
from pydantic import Field
from pydantic.fields import FieldInfo

from localai.cli.flags import default, kind, parameters
from localai.config import Settings


def test_every_setting_has_a_flag():
    """There is one flag for each setting, and no other."""
    assert [flag.name for flag in parameters()] == list(Settings.model_fields)


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (int, int),
        (int | None, int),
        (Path, Path),
        (bool | None, bool),
        (tuple[str, ...], list[str]),
        (Literal["a", "b"], str),
    ],
)
def test_kinds_of_flags(annotation: object, expected: object):
    """A flag takes the type of its setting, a list where there are several, text where it is something else."""
    assert kind(FieldInfo(annotation=annotation)) == expected


@pytest.mark.parametrize(
    ("field", "text"),
    [
        (Field(default=None), ""),
        (Field(default=()), ""),
        (Field(default=False), "no"),
        (Field(default=600.0), "600"),
        (Field(default=0.5), "0.5"),
        (Field(default="info"), "info"),
        (Field(default_factory=lambda: Path("/somewhere")), "the user's data folder"),
    ],
)
def test_defaults_are_words(field: FieldInfo, text: str):
    """A default is shown as people write it, and never as a path of the machine the page was made on."""
    assert default(field) == text
