"""All SQL. One SQLite file (WAL, synchronous FULL), one connection per process, opened after the process started."""

from triaged.store.store import Store

__all__ = ["Store"]
