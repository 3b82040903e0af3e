"""The tables as they are now; `migrations/` has the way there. Imported only once a database is opened."""

from sqlalchemy import Column, Float, Index, LargeBinary, MetaData, String, Table, Text

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
