"""Many streams: the pool, stores of their states, and asyncio."""
