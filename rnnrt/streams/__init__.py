"""Many streams of one model: pools, and asyncio."""
