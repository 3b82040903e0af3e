import pytest

from localai.core.errors import InvalidModel
from localai.loader.parse import parse


def parsed(tmp_path, text):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    return parse(path)


def test_one_file(tmp_path):
    """A file becomes a checked model file."""
    (one,) = parsed(tmp_path, "name: a\nslots: 2\nunheard: 1\n")
    assert (one.file.name, one.file.slots, one.listed) == ("a", 2, False)
    assert one.notes == ("`unheard` is not known here and has no effect.",)


def test_a_list(tmp_path):
    """A list file becomes its models, each knowing that it is one of several."""
    assert [(one.file.name, one.listed) for one in parsed(tmp_path, "- name: a\n- name: b\n")] == [
        ("a", True),
        ("b", True),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nparameters:\n  top_k: 5\n  temperature: hot\n", "m.yaml, line 4, `parameters.temperature`: "),
        ("name: a\nbackend: 5\ncontext_size: many\n", "m.yaml, line 2, `backend`: "),
        ("name: a\ncontext_size: many\n", "m.yaml, line 2, `context_size`: "),
        ("- name: a\n- name: b\n  slots: 0\n", "m.yaml, line 3, `slots`: "),
        ("engine: llama\n", "m.yaml, line 1, `name`: field required"),
        ("name: a\nkeep_alive: soon\n", "should be a duration such as"),
        ("name: a/../b\n", "A model name is up to three parts"),
        ("name: [\n", "m.yaml, line "),
    ],
)
def test_mistakes_are_placed(tmp_path, text, said):
    """A mistake is told with file, line, and the field as it was written."""
    with pytest.raises(InvalidModel) as caught:
        parsed(tmp_path, text)
    assert said.lower() in caught.value.message.lower()


def test_a_missing_file(tmp_path):
    """A file that cannot be read is refused."""
    with pytest.raises(InvalidModel, match="cannot be read"):
        parse(tmp_path / "none.yaml")
