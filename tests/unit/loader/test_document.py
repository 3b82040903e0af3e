import pytest

from localai.core.errors import InvalidModel
from localai.loader.document import NODES_LIMIT, line, read

TEXT = b"name: a\nparameters:\n  top_k: 1\n  temperature: 9\nadapters:\n- name: x\n- name: y\n  file: z\n"


def test_one_or_a_list():
    """A file holds one model or a list of them."""
    assert read(b"name: a", "x.yaml") == [{"name": "a"}]
    assert read(b"- name: a\n- name: b", "x.yaml") == [{"name": "a"}, {"name": "b"}]


@pytest.mark.parametrize("text", [b"", b"5", b"[]", b"- 5", b"[a, b]"])
def test_other_shapes(text):
    """Anything else than mappings is refused."""
    with pytest.raises(InvalidModel, match="mapping"):
        read(text, "x.yaml")


def test_the_line_of_a_mistake_is_told():
    """Broken YAML is refused with file and line."""
    with pytest.raises(InvalidModel, match=r"x\.yaml, line 3: "):
        read(b"a: 1\nb: 2\nb: 3\n", "x.yaml")


@pytest.mark.parametrize(
    ("path", "number"),
    [
        (("name",), 1),
        (("parameters", "temperature"), 4),
        (("adapters", 1, "file"), 8),
        (("adapters", 0, "missing"), 6),
        (("missing",), 1),
        ((), 1),
    ],
)
def test_lines_of_fields(path, number):
    """The line of a field is found, or that of its nearest parent."""
    assert line(TEXT, path) == number


def test_lines_of_broken_text():
    """Text that is no YAML has no lines of fields."""
    assert line(b"a: [", ("a",)) is None
    assert line(b"", ("a",)) is None


@pytest.mark.parametrize(
    "text",
    [
        b"a: [" + b"1," * NODES_LIMIT + b"]",
        b"a: &a [1,1,1,1,1,1,1,1,1]\n"
        + b"".join(b"%c: &%c [%s]\n" % (name, name, b"*%c," % (name - 1) * 7) for name in b"bcdefg"),
        b"x: " + b"y" * 2**21,
        b"a: " + b"[" * 30 + b"]" * 30,
        b"".join(b"%s- a:\n" % (b"  " * depth) for depth in range(30)),
    ],
)
def test_too_much_is_refused(text):
    """Too many values, too many after aliases are written out, too deep or too long is refused."""
    with pytest.raises(InvalidModel):
        read(text, "x.yaml")
