"""Stores: streams that outlive their process. See :class:`Store`; used as ``rnnrt.stores``."""

from .base import Claim, Entry, Held, Store
from .memory import MemoryStore
from .redis import RedisStore
from .session import StoredSession
from .sqlite import SQLiteStore

__all__ = ["Claim", "Entry", "Held", "MemoryStore", "RedisStore", "SQLiteStore", "Store", "StoredSession"]
