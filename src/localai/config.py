"""The settings of a server: defaults, then the configuration file, then LOCALAI_* variables, then flags."""

from pathlib import Path
from typing import Annotated

import platformdirs
from pydantic import Field, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)


def default_home() -> Path:
    """Where everything is kept unless LOCALAI_HOME says otherwise."""
    return Path(platformdirs.user_data_dir("localai", appauthor=False))


class Settings(BaseSettings):
    """Every setting, documented once: flags, variables and the reference page are derived from these fields."""

    model_config = SettingsConfigDict(
        env_prefix="LOCALAI_", env_ignore_empty=True, extra="ignore", frozen=True, yaml_file=None
    )

    home: Path = Field(default_factory=default_home, description="Folder that holds models, blobs, state and keys.")
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    ollama_port: int | None = Field(
        default=None, ge=0, le=65535, description="A second port, such as 11434, for apps that look for Ollama there."
    )
    open: bool = Field(default=False, description="Serve without a key; only on a loopback address.")
    api_key: str | None = Field(
        default=None, description="A key that is accepted besides those in the database, with all rights."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Host names served besides loopback names and the bound address; `*` allows all."
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Web origins (scheme://host:port) that browsers may call from; none by default."
    )
    root_path: str = Field(
        default="", description="Path under which a reverse proxy offers this server, such as `/ai`; stripped or not."
    )
    embedding_model: str | None = Field(
        default=None,
        description="Embedding model of vector stores that name none; default: one that is loaded, else the first.",
    )
    mcp_servers: Path | None = Field(
        default=None,
        description="YAML or JSON file of remote MCP servers whose tools chats may use: "
        "`NAME: {url, headers, secret_headers, private, tools, timeout}`.",
    )
    memory: int | None = Field(
        default=None, ge=0, description="Bytes of memory for models; default: what is free, less a reserve."
    )
    memory_reserve: int = Field(default=512 * 2**20, ge=0, description="Bytes of memory never given to models.")
    threads: int | None = Field(
        default=None, ge=1, description="CPU threads for models; default: physical cores within the quota."
    )
    context: int = Field(
        default=8192, ge=256, description="Context in tokens of a request when the model file names none."
    )
    keep_alive: float = Field(default=600, description="Seconds an idle model stays loaded; negative: for ever.")
    queue: int = Field(
        default=256, ge=0, description="Requests that may wait for one model; more are refused with 503."
    )
    queue_timeout: float = Field(default=600, gt=0, description="Seconds a request may wait for its model.")
    load_timeout: float = Field(default=600, gt=0, description="Seconds a model may take to load.")
    stall_timeout: float = Field(
        default=120, gt=0, description="Seconds without any progress after which a busy engine counts as hung."
    )
    request_timeout: float = Field(default=3600, gt=0, description="Seconds a generation may take in all.")
    drain_timeout: float = Field(default=25, ge=0, description="Seconds running requests get to finish at shutdown.")
    body_limit: int = Field(default=32 * 2**20, ge=1024, description="Largest request body in bytes.")
    file_limit: int = Field(default=512 * 2**20, ge=1024, description="Largest file in bytes that a client may store.")
    file_quota: int = Field(
        default=10 * 2**30, ge=0, description="Bytes of all files that one owner may store; 0 stores none."
    )
    max_connections: int = Field(default=1000, ge=1, description="Connections served at a time.")
    log_level: str = Field(default="info", description="debug, info, warning or error.")
    log_json: bool | None = Field(
        default=None, description="JSON logs; default: when standard error is not a terminal."
    )

    @field_validator("allowed_hosts", "allowed_origins", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        """A variable or flag gives several values with commas between them."""
        return tuple(part.strip() for part in given.split(",") if part.strip()) if isinstance(given, str) else given

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags beat variables, variables beat the file, the file beats defaults."""
        return init_settings, env_settings, YamlConfigSettingsSource(settings_cls)

    @property
    def models(self) -> Path:
        """One YAML per model; loose model files dropped here are served too."""
        return self.home / "models"

    @property
    def blobs(self) -> Path:
        """The content-addressed store."""
        return self.home / "blobs"

    @property
    def files(self) -> Path:
        """What clients uploaded, named by content; who owns it stands in the database."""
        return self.home / "files"

    @property
    def run(self) -> Path:
        """Run folders of workers (mode 0700)."""
        return self.home / "run"

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.home / "state.db"

    @property
    def address(self) -> Path:
        """Where the running server wrote its URL, for the commands of this machine."""
        return self.home / "server.url"

    @property
    def admin_key(self) -> Path:
        """The key made at first start, readable by the owner only."""
        return self.home / "admin.key"
