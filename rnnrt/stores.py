"""Stores: streams that outlive their process.

store = rnnrt.stores.SQLiteStore("streams.sqlite")
session = model.session(id="caller-42", store=store)  # opens the stream, or resumes it
"""

from .streams.stores import Claim, Entry, Held, MemoryStore, RedisStore, SQLiteStore, Store, StoredSession

__all__ = ["Claim", "Entry", "Held", "MemoryStore", "RedisStore", "SQLiteStore", "Store", "StoredSession"]
