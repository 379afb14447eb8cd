"""Imported once by the server that programs are forked from, so that a start takes a moment and not seconds."""

from __future__ import annotations

import alembic.operations  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401

import streamgauge.service
import streamgauge.store.migrations
import streamgauge.store.sql
import streamgauge.store.sql_query  # noqa: F401
import tests.exactly_once.child  # noqa: F401
