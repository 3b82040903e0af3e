"""pip's configuration, read as pip reads it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localai.core.errors import FetchFailed
from localai.fetch.address import Origin
from localai.fetch.pip import Index, Pip, default_index, read


@pytest.fixture
def place(tmp_path: Path):
    """Folders for the configuration, and a reader that looks nowhere else."""

    class Place:
        home = tmp_path / "home"
        prefix = tmp_path / "venv"
        user = home / ".config" / "pip" / "pip.conf"
        site = prefix / "pip.conf"
        system = tmp_path / "xdg" / "pip" / "pip.conf"

        def write(self, file: Path, text: str) -> None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

        def read(self, **variables: str) -> Pip:
            return read({"XDG_CONFIG_DIRS": str(tmp_path / "xdg"), **variables}, home=self.home, prefix=self.prefix)

    monkey = pytest.MonkeyPatch()
    real = Path.is_file
    monkey.setattr(Path, "is_file", lambda file: real(file) and not str(file).startswith("/etc/"))
    yield Place()
    monkey.undo()


def test_nothing(place):
    """Without any configuration it is pip's default index."""
    assert place.read() == Pip(indexes=(Index(url=default_index()),))


def test_levels(place):
    """The environment's file beats the user's, that the system's, and variables beat all."""
    for file, name in ((place.system, "system"), (place.user, "user"), (place.site, "site")):
        place.write(file, f"[global]\nindex-url = https://{name}.example/simple/\n")
        assert place.read().indexes[0].url == f"https://{name}.example/simple"
    assert place.read(PIP_INDEX_URL="https://env.example/simple").indexes[0].url == "https://env.example/simple"


def test_named_file(place, tmp_path: Path):
    """PIP_CONFIG_FILE takes the place of the user's file and beats the others; the null device turns all off."""
    place.write(place.user, "[global]\nextra-index-url = https://user.example/simple\n")
    place.write(place.site, "[global]\nindex-url = https://site.example/simple\n")
    named = tmp_path / "named.conf"
    named.write_text("[global]\nindex_url = https://named.example/simple\n")
    found = place.read(PIP_CONFIG_FILE=str(named))
    assert found.indexes == (Index(url="https://named.example/simple"),)
    assert place.read(PIP_CONFIG_FILE=os.devnull) == Pip(indexes=(Index(url=default_index()),))


def test_sections(place):
    """The section of `pip install` beats the global one; other sections do not count."""
    place.write(
        place.user,
        "[install]\nindex-url = https://i.example\n[global]\nindex-url = https://g.example\n"
        "extra-index-url =\n  https://a.example/simple\n  https://b.example/simple\n[list]\nindex-url = https://l.example\n",
    )
    urls = [index.url for index in place.read().indexes]
    assert urls == ["https://i.example", "https://a.example/simple", "https://b.example/simple"]


def test_everything_else(place, tmp_path: Path):
    """Folders, certificates, unverified hosts and proxies are read too."""
    cert = tmp_path / "ca.pem"
    cert.write_text("x")
    place.write(
        place.user,
        f"[global]\nfind-links = /wheels\n  file:///more\ncert = {cert}\n"
        "trusted-host = a.example b.example:8443\nproxy = http://p:1\n",
    )
    found = place.read(REQUESTS_CA_BUNDLE=str(cert), CURL_CA_BUNDLE="/no/such/file")
    assert found.links == ("/wheels", "file:///more")
    assert found.certificates == (str(cert),)
    assert found.unverified == ("a.example", "b.example:8443")
    assert found.proxies.https == "http://p:1"


def test_no_index(place):
    """`no-index` leaves the folders only."""
    assert place.read(PIP_NO_INDEX="1", PIP_FIND_LINKS="/wheels") == Pip(indexes=(), links=("/wheels",))


def test_login(place):
    """A login is taken out of the index's address, and is not in its text any more."""
    index = place.read(PIP_INDEX_URL="https://me%40x:p%3Aw@index.example/simple/").indexes[0]
    assert index == Index(url="https://index.example/simple", login=("me@x", "p:w"))


@pytest.mark.parametrize("text", ["index-url = x", "[global\n", "[global]\nindex-url"])
def test_damaged_file(place, text: str):
    """A configuration file that cannot be read is named."""
    place.write(place.user, text)
    with pytest.raises(FetchFailed, match=r"pip\.conf"):
        place.read()


def test_unreadable_address(place):
    """An index address that cannot be read is told."""
    with pytest.raises(FetchFailed, match="index-url"):
        place.read(PIP_INDEX_URL="https://[x")


def test_route():
    """An index is trusted with its own origin, and an index of files with none."""
    pip = Pip(unverified=("a.example",))
    route = pip.route(Index(url="https://a.example:8443/simple"))
    assert route.trusted == route.beside == frozenset((Origin("https", "a.example", 8443),))
    assert route.unverified == frozenset(("a.example",))
    assert pip.route(Index(url="file:///srv/simple")).trusted == frozenset()


def test_like_pip_itself():
    """On this machine the indexes and folders are those that pip itself says it uses."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True, timeout=60
    )
    if told.returncode:
        pytest.skip("pip is not installed in this environment")
    lines = dict(line.split("=", 1) for line in told.stdout.splitlines() if "=" in line)
    settings = {name: value.strip("'\"") for name, value in lines.items()}

    def option(name: str, default: str = "") -> str:
        return (
            settings.get(f":env:.{name}") or settings.get(f"install.{name}") or settings.get(f"global.{name}", default)
        )

    found = read(os.environ)
    wanted = [option("index-url", default_index()).rstrip("/"), *option("extra-index-url").replace("\\n", " ").split()]
    assert [index.url for index in found.indexes] == wanted
    assert list(found.links) == option("find-links").replace("\\n", " ").split()
