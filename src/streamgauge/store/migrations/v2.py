"""Schema 2: a running program's lanes have coverage, and its dead letters a source, a time and a state."""

from __future__ import annotations

from alembic.operations import Operations
from sqlalchemy import BigInteger, Column, Text, text

# On PostgreSQL every text is ordered by its bytes, so that a dump is the same from every database.
_TEXTS = {
    "meta": ("name", "value"),
    "version": ("name", "hash", "definition"),
    "reader": ("name", "book"),
    "reader_version": ("reader",),
    "lane": ("reader", "name", "identity", "time_unit", "form", "mark"),
    "seen_id": ("reader",),
    "dead_letter": ("reader", "lane", "reason", "detail"),
    "tally": ("reader", "lane", "reason"),
    "counter": ("reader", "name"),
}


def upgrade(op: Operations) -> None:
    """From schema 1, which ``streamgauge report --store`` made."""
    postgresql = op.get_bind().dialect.name == "postgresql"
    kind = Text(collation="C") if postgresql else Text()
    if postgresql:
        for table, columns in _TEXTS.items():
            for column in columns:
                op.alter_column(table, column, type_=kind, existing_nullable=False)
    op.add_column("lane", Column("coverage", kind, nullable=False, server_default="[]"))
    op.add_column("dead_letter", Column("source", kind, nullable=False, server_default=""))
    op.add_column("dead_letter", Column("received_ms", BigInteger, nullable=False, server_default="0"))
    op.add_column("dead_letter", Column("state", kind, nullable=False, server_default="new"))
    # What was read from files has no other source than its file.
    op.execute(text("UPDATE dead_letter SET source = lane"))
