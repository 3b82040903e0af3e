import pytest
from hypothesis import given
from hypothesis import strategies as st

from localai.core.errors import InvalidRequest
from localai.loader.name import PATTERN, parse, stem, suggest, valid

NAMES = st.from_regex(PATTERN, fullmatch=True).filter(valid)


@pytest.mark.parametrize(
    "name",
    ["a", "gpt-4o-mini", "smollm2:135m", "owner/model", "hf.co/owner/model:Q4_K_M", "A.b_c-d", "contra", "com10"],
)
def test_names(name):
    """Names of one to three parts with an optional tag are taken as they are."""
    assert parse(name) == name


def test_stems_keep_what_is_plain():
    """A plain name is its own file name; separators are quoted."""
    assert stem("smollm2-135m") == "smollm2-135m"
    assert stem("a/b:c") == "a%2Fb%3Ac"


@given(NAMES, NAMES)
def test_stems_differ_and_are_file_names(one, other):
    """Two names never share a file, and a file name never leaves its folder or grows too long."""
    assert (stem(one) == stem(other)) == (one == other)
    assert "/" not in stem(one)
    assert len(stem(one).encode()) < 220


def test_long_names_share_no_file():
    """Names that differ only far behind have different files."""
    front = "/".join(["a" * 128] * 2)
    assert stem(f"{front}/x") != stem(f"{front}/y")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("SmolLM2-135M-Instruct.Q4_1", "SmolLM2-135M-Instruct.Q4_1"),
        ("my model (1)", "my-model-1"),
        ("-rf", "rf"),
        ("a..b", "a.b"),
        ("CON", None),
        ("...", None),
        ("é", "e"),
        ("模型", None),
        ("x" * 500, "x" * 128),
    ],
)
def test_suggestions(text, name):
    """The nearest name to a file's stem is found when there is one."""
    assert suggest(text) == name


@given(st.text(max_size=40))
def test_suggestions_are_names(text):
    """Whatever the text, a suggestion is a valid name."""
    name = suggest(text)
    assert name is None or valid(name)


def test_the_message_names_the_field():
    """A refused name is told with its field and without the name itself."""
    with pytest.raises(InvalidRequest) as caught:
        parse("\x1b[31m")
    assert caught.value.param == "model"
    assert "\x1b" not in caught.value.message
