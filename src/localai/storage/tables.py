"""The tables as they are now; `migrations/` has the way there. Imported only once a database is opened."""

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()

keys = Table(
    "keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("name", String(256), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("models", Text),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("revoked", Float),
    Column("last_used", Float),
    Index("keys_by_owner", "owner", "created"),
)
"""API keys. `digest` is the SHA-256 of the whole secret, `scopes` and `models` are JSON lists, times Unix seconds."""

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("state", String(32), nullable=False),
    Column("payload", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("error", Text),
    Index("jobs_by_owner", "owner", "created"),
    Index("jobs_by_state", "kind", "state"),
)
"""Work that outlives a request. `payload` and `error` are JSON."""

objects = Table(
    "objects",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("owner", String(256), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("parent", String(64)),
    Column("state", String(32), nullable=False),
    Column("payload", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("updated", Float, nullable=False),
    Column("expires", Float),
    Index("objects_by_owner", "owner", "kind", "number"),
    Index("objects_by_parent", "parent", "number"),
    Index("objects_by_state", "kind", "state"),
    Index("objects_by_expiry", "expires"),
    sqlite_autoincrement=True,
)
"""What clients store. `number` is the order in which it came; `payload` is JSON, times are Unix seconds."""

lines = Table(
    "lines",
    metadata,
    Column("batch", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("state", String(16), nullable=False),
    Column("name", String(512), nullable=False),
    Column("body", Text, nullable=False),
    Column("result", Text),
    Index("lines_by_state", "batch", "state", "number"),
)
"""The requests of batches. `name` is the client's `custom_id`; `body` and `result` are JSON."""

chunks = Table(
    "chunks",
    metadata,
    Column("store", String(64), primary_key=True),
    Column("file", String(64), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("owner", String(256), nullable=False),
    Column("text", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
)
"""The pieces of the files of vector stores. `vector` is little-endian float32, of unit length."""
