"""What clients store: files, batches, responses, conversations, vector stores, and the many rows inside them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "objects",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(64), nullable=False, unique=True),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("parent", sa.String(64)),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("updated", sa.Float, nullable=False),
        sa.Column("expires", sa.Float),
        sqlite_autoincrement=True,
    )
    op.create_index("objects_by_owner", "objects", ["owner", "kind", "number"])
    op.create_index("objects_by_parent", "objects", ["parent", "number"])
    op.create_index("objects_by_state", "objects", ["kind", "state"])
    op.create_index("objects_by_expiry", "objects", ["expires"])
    op.create_table(
        "lines",
        sa.Column("batch", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("result", sa.Text),
    )
    op.create_index("lines_by_state", "lines", ["batch", "state", "number"])
    op.create_table(
        "chunks",
        sa.Column("store", sa.String(64), primary_key=True),
        sa.Column("file", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("owner", sa.String(256), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("vector", sa.LargeBinary, nullable=False),
    )
