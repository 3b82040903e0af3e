"""The proxies that the operator configured."""

import pytest
from yarl import URL

from localai.core.errors import FetchFailed
from localai.fetch.proxies import Proxies, from_environment, login


def test_from_environment():
    """Each scheme has its variable in either case, ALL_PROXY fills in, and pip's own setting beats them."""
    assert from_environment({}) == Proxies()
    found = from_environment({"https_proxy": "http://p:1", "ALL_PROXY": "http://all:2", "NO_PROXY": "x"})
    assert found == Proxies(http="http://all:2", https="http://p:1", bypass="x")
    assert from_environment({"HTTPS_PROXY": "http://p:1"}, "http://pip:3").https == "http://pip:3"


@pytest.mark.parametrize(
    ("bypass", "direct"),
    [
        ("", False),
        ("*", True),
        ("index.example", True),
        (".index.example", True),
        ("example", True),
        ("*.example", True),
        ("index.example:443", True),
        ("index.example:444", False),
        ("dex.example", False),
        ("other, index.example ", True),
        (" , ", False),
    ],
)
def test_bypass(bypass: str, direct: bool):
    """NO_PROXY lists hosts and domains that are reached without the proxy."""
    proxies = Proxies(https="http://proxy.example:3128", bypass=bypass)
    assert (proxies.of(URL("https://index.example/x")) is None) is direct


def test_scheme():
    """A proxy serves its own scheme only, and may be written without one of its own."""
    proxies = Proxies(https="proxy.example:3128")
    assert proxies.of(URL("http://index.example/")) is None
    assert proxies.of(URL("https://index.example/")) == URL("http://proxy.example:3128")


@pytest.mark.parametrize("address", ["socks5://p:1", "http://", "http://p:99999"])
def test_unfit(address: str):
    """A proxy of another kind is told, not passed by."""
    with pytest.raises(FetchFailed):
        Proxies(https=address).of(URL("https://index.example/"))


def test_login():
    """A login in the proxy's address is taken out of it."""
    assert login(URL("http://u%40:p@proxy:1")) == (URL("http://proxy:1"), "Basic dUA6cA==")
    assert login(URL("http://proxy:1")) == (URL("http://proxy:1"), None)
