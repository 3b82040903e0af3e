"""Alembic runs this file: it migrates the connection that `storage/migrate.py` hands over, inside its transaction."""

from alembic import context
from sqlalchemy import Connection

from localai.storage.tables import metadata

connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection, target_metadata=metadata, transactional_ddl=True, transaction_per_migration=False
)
context.run_migrations()
