"""Hostile model names and files in the models folder (H23, H24, H26, H27)."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ggufs
from localai.core.errors import InvalidRequest, LocalAIError, ModelNotFound
from localai.loader.catalog import Catalog
from localai.loader.name import parse, stem
from localai.storage.blobs import Blobs

HOSTILE = [
    "", ".", "..", "../../etc/passwd", "..%2f", "%252e%252e%252f", "a/../../b", "/abs", "C:\\x", "\\\\host\\share",
    "-rf", "--flag", "a\nb", "a\n", "a\0", "CON", "con", "nul.txt", "a/AUX", "LPT1", "COM9.gguf", "a:NUL", "trailing.",
    "trailing ", " leading", "a..b", "a/b/c/d", "a//b", "a/", "/a", "a:", ":a", "a:b:c", "a:b/c", "\u202eevil",
    "a\u200f", "e\u0301", "\u00e9", "\uff41", "a b", "a\tb", "~", "$HOME", "`id`", "a;b", "a|b", "a*", "a?",
    "a" * 129, "a" * 10**6, "a/" * 10**5, "\ud800", "a/.hidden", ".hidden", "_x", "a:..", "a:b.",
]  # fmt: skip


@pytest.fixture
def catalog(tmp_path):
    (tmp_path / "models-evil").mkdir()
    (tmp_path / "models-evil" / "evil.gguf").write_bytes(ggufs.build())
    (tmp_path / "secret.gguf").write_bytes(ggufs.build())
    return Catalog(tmp_path / "models", Blobs(tmp_path / "blobs"))


@pytest.mark.parametrize("name", HOSTILE, ids=lambda name: repr(name[:20]))
def test_hostile_names_are_refused(catalog, name):
    """A name that is none is a 400 that does not repeat it, on every way into the catalog."""
    for use in (catalog.find, catalog.file, catalog.remove):
        with pytest.raises(InvalidRequest) as caught:
            use(name)
        assert caught.value.param == "model"
        assert len(caught.value.message) < 300


@given(st.text(max_size=200) | st.text(alphabet="./\\:%-_aC\0\n ", max_size=30))
def test_any_text_is_a_safe_name_or_refused(name):
    """Whatever the text: it is refused, or its file lies directly in its folder."""
    try:
        parsed = parse(name)
    except InvalidRequest:
        return
    path = Path(os.path.normpath(f"/models/{stem(parsed)}.yaml"))
    assert path.parent == Path("/models")
    assert parsed.isascii()


@given(name=st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_finding_any_text_fails_cleanly(tmp_path_factory, name):
    """Looking for any text ends in not found or refused."""
    base = tmp_path_factory.getbasetemp()
    catalog = Catalog(base / "no-models", Blobs(base / "no-blobs"))
    with pytest.raises((InvalidRequest, ModelNotFound)):
        catalog.find(name)


@pytest.mark.parametrize(
    "written",
    [
        "../secret.gguf",
        "../models-evil/evil.gguf",
        "sub/../../secret.gguf",
        "/etc/passwd",
        "./../secret.gguf",
        "link.gguf",
        "linked/evil.gguf",
        "pipe.gguf",
        "sub",
        "missing.gguf",
        "C:secret.gguf",
        "..\\secret.gguf",
        "a\0b",
        "https://example.com/model.gguf",
        "sha256:../../secret",
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 64,
        ".",
        "a/" * 400 + "x",
    ],
)
def test_files_outside_are_refused(catalog, tmp_path, written):
    """A file of a model that leads out of the folder, or to no regular file in it, makes the model unusable."""
    models = tmp_path / "models"
    (models / "sub").mkdir()
    (models / "link.gguf").symlink_to(tmp_path / "secret.gguf")
    (models / "linked").symlink_to(tmp_path / "models-evil")
    os.mkfifo(models / "pipe.gguf")
    text = written.replace("\\", "\\\\").replace("\0", "\\0")
    (models / "bad.yaml").write_text(f'name: bad\nengine: llama\nfiles: {{model: "{text}"}}\n')
    assert catalog.models() == ()
    assert "bad.yaml" in catalog.problems()
    with pytest.raises(ModelNotFound):
        catalog.find("bad")


def test_links_and_pipes_are_skipped(catalog, tmp_path):
    """Symbolic links, pipes and hidden files planted in the folder are never opened, and links are told."""
    models = tmp_path / "models"
    (models / "link.gguf").symlink_to(tmp_path / "secret.gguf")
    (models / "linked").symlink_to(tmp_path / "models-evil")
    (models / "link.yaml").symlink_to("/etc/passwd")
    (models / ".hidden.gguf").write_bytes(ggufs.build())
    os.mkfifo(models / "pipe.gguf")
    os.mkfifo(models / "pipe.yaml")
    assert catalog.models() == ()
    assert set(catalog.problems()) == {"link.gguf", "link.yaml", "pipe.gguf", "pipe.yaml"}


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"c{n}: &c{n} [{'*b, ' * 30}]\n" for n in range(50)),
        "[" * 5000,
        "{" * 5000,
        "name: " + "1" * 10_000,
        "name: !!python/object/apply:os.system ['true']",
        "? [a, b]\n: c",
        "name: x\nname: y",
        "\x00",
        "- 1\n- 2",
        "just text",
        "",
        "options: {a: " + "[" * 100 + "]" * 100 + "}",
        "x" * (3 * 2**20),
        "name: &a [*a]",
        "a: &a {b: *a}",
        "1: 2\nname: 5",
        "name: [1]\nparameters: 7\nfiles: []\ntemplate: {chat: {a: 1}}\noptions: 3\nlora_adapters: 5",
        "parameters: {model: {a: 1}}",
        "known_usecases: [[1]]\nname: x",
        "name: 2001-01-01",
        "a: [" + "1," * 500_000 + "]",
        "- 1\n" * 250_000,
        "[[[" * 10**5,
    ],
)
def test_hostile_model_files_are_problems(catalog, tmp_path, text):
    """A hostile model file is listed as a problem and hurts nothing else."""
    (tmp_path / "models" / "bad.yaml").write_bytes(text.encode())
    (tmp_path / "models" / "good.gguf").write_bytes(ggufs.build())
    assert [model.name for model in catalog.models()] == ["good"]
    assert list(catalog.problems()) == ["bad.yaml"]
    assert len(catalog.problems()["bad.yaml"]) < 500


@given(data=st.binary(max_size=200) | st.text(alphabet="{}[]&*!|>-: \n\"'ab1,#%@`", max_size=80).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_noise_in_a_model_file(tmp_path_factory, data):
    """Whatever bytes a model file holds, the catalog answers."""
    base = tmp_path_factory.getbasetemp() / "noise"
    base.mkdir(exist_ok=True)
    (base / "noise.yaml").write_bytes(data)
    catalog = Catalog(base, Blobs(base / ".blobs"))
    assert catalog.models() == ()
    with pytest.raises(LocalAIError):
        catalog.find("noise")
