from localai.loader.manifest import engine_for, manifests


def test_manifests_of_installed_engines():
    """The manifests of our engines are read without importing them."""
    found = manifests()
    assert {"echo", "llama"} <= found.keys()
    assert "chat" in found["llama"].tasks
    assert "cache_type_k" in found["llama"].options
    assert found["echo"].formats == ()


def test_the_engine_of_a_format():
    """A format's engine is the one that lists it."""
    assert engine_for("gguf") == "llama"
    assert engine_for("papyrus") is None


def test_an_outside_engine(tmp_path, monkeypatch):
    """An engine of another package is known by the manifest beside its module; a broken one is left out."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "fast.toml").write_text('name = "fast"\nformats = ["bin"]\n')
    (tmp_path / "other" / "bad.toml").write_text("name = [")
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[localai.engines.v1]\nfast = other.engine:Fast\nbad = other.bad:Bad\n")
    monkeypatch.syspath_prepend(tmp_path)
    manifests.cache_clear()
    try:
        assert manifests()["fast"].formats == ("bin",)
        assert "bad" not in manifests()
        assert "llama" in manifests()
    finally:
        monkeypatch.undo()
        manifests.cache_clear()
