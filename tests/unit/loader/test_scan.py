import os

from localai.loader import scan as scanning
from localai.loader.scan import scan


def test_what_is_found(tmp_path):
    """YAML directly in the folder and weights at some depth are found, in order; hidden and other files are not."""
    for name in (
        "b.yaml",
        "a.YML",
        "c.gguf",
        "sub/d.GGUF",
        "sub/e.yaml",
        "sub/f.safetensors",
        ".g.gguf",
        "h.txt",
        ".i/j.gguf",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    found = scan(tmp_path)
    assert [path.name for path in found.written] == ["a.YML", "b.yaml"]
    assert [path.name for path in found.loose] == ["c.gguf", "d.GGUF", "f.safetensors"]
    assert set(found.folders) == {tmp_path, tmp_path / "sub"}
    assert found == scan(tmp_path)


def test_depth_is_bounded(tmp_path):
    """Folders nested deeper than the limit are not walked."""
    deep = tmp_path.joinpath(*"abcdef")
    deep.mkdir(parents=True)
    (deep / "x.gguf").touch()
    assert not scan(tmp_path).loose


def test_the_number_is_bounded(tmp_path, monkeypatch):
    """A folder with too many entries is looked at up to the limit, and that is told."""
    monkeypatch.setattr(scanning, "ENTRIES_LIMIT", 10)
    for number in range(20):
        (tmp_path / f"{number:02}.gguf").touch()
    found = scan(tmp_path)
    assert len(found.loose) == 10
    assert "more than 10 files" in found.skipped[tmp_path]


def test_loops_of_links_are_not_followed(tmp_path):
    """A link to a folder is not walked."""
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "dangling.gguf").symlink_to(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe.gguf")
    found = scan(tmp_path)
    assert set(found.folders) == {tmp_path}
    assert set(found.skipped) == {tmp_path / "dangling.gguf", tmp_path / "pipe.gguf"}


def test_a_missing_folder(tmp_path):
    """A folder that is not there holds nothing."""
    assert scan(tmp_path / "none").written == {}
