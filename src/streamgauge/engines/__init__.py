"""Engines: what computes partials of a slice. ``base`` is the interface, ``duck`` the one on DuckDB."""
