"""Forward migrations: each brings a store from the schema before it to its own, with Alembic's operations.

A change of the tables in ``sql_schema`` needs a new module here, in the list below, and a new ``SCHEMA_VERSION``. A
migration says what it does in its own words and imports no table: what those look like later is none of its business.
"""

from __future__ import annotations

from collections.abc import Callable

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from streamgauge.store.migrations import v2

_MIGRATIONS: dict[int, Callable[[Operations], None]] = {2: v2.upgrade}


def migrate(connection: Connection, found: int, step: Callable[[str], None]) -> None:
    """Bring the tables from the version found to the newest, within the connection's transaction.

    1. ``step("migrating")``.
    2. Every migration after ``found``, in order, each with its number.
    3. ``step("migrated")``; the caller commits, or nothing has happened.
    """
    step("migrating")
    operations = Operations(MigrationContext.configure(connection))
    for version, upgrade in sorted(_MIGRATIONS.items()):
        if version > found:
            upgrade(operations)
            number = text("UPDATE meta SET value = :version WHERE name = 'schema'")
            connection.execute(number, {"version": str(version)})
    step("migrated")
