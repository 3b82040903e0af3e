"""The proxies that the operator configured for the package index."""

import base64
from collections.abc import Mapping
from urllib.parse import unquote

from yarl import URL

from localai.core.errors import FetchFailed
from localai.core.task import Value


class Proxies(Value, frozen=True):
    """Proxy addresses by the scheme of what is fetched, and the hosts that are reached without one."""

    http: str | None = None
    https: str | None = None
    bypass: str = ""
    """Comma-separated hosts and domains, as in NO_PROXY; "*" means all."""

    def of(self, url: URL) -> URL | None:
        """The proxy to use for `url`, if any; a login in it is kept.

        Raises:
            FetchFailed: The proxy is of a kind that is not supported.
        """
        address = self.https if url.scheme == "https" else self.http
        if not address or self._bypassed(url):
            return None
        try:
            proxy = URL(address if "://" in address else f"http://{address}")
        except ValueError:
            raise FetchFailed("The configured proxy address cannot be read.") from None
        if proxy.scheme not in {"http", "https"} or not proxy.host:
            raise FetchFailed("The configured proxy is not an http or https proxy; other kinds are not supported.")
        return proxy

    def _bypassed(self, url: URL) -> bool:
        host = url.host or ""
        for entry in (part.strip().lower() for part in self.bypass.split(",")):
            domain = entry.removeprefix("*.").lstrip(".")
            if entry in {"*", f"{host}:{url.port}"}:
                return True
            if domain and (host == domain or host.endswith(f".{domain}")):
                return True
        return False


NONE = Proxies()


def from_environment(environment: Mapping[str, str], everything: str | None = None) -> Proxies:
    """HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in either case; `everything` (pip's `proxy`) beats them."""

    def get(name: str) -> str | None:
        return environment.get(name.lower()) or environment.get(name.upper()) or None

    common = everything or None
    return Proxies(
        http=common or get("http_proxy") or get("all_proxy"),
        https=common or get("https_proxy") or get("all_proxy"),
        bypass=get("no_proxy") or "",
    )


def login(proxy: URL) -> tuple[URL, str | None]:
    """Split a proxy's address into the address without a login, and the login as a header value (RFC 7617)."""
    if proxy.raw_user is None:
        return proxy, None
    pair = f"{unquote(proxy.raw_user)}:{unquote(proxy.raw_password or '')}"
    return proxy.with_user(None), "Basic " + base64.b64encode(pair.encode()).decode()
