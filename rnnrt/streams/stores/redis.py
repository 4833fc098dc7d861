"""RedisStore: streams kept in a Redis server, shared by processes on any number of machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import StateError
from .base import Claim, Entry, Held, Store

__all__ = ["RedisStore"]

# Time is the server's alone. A fence is at least the microseconds since 1970, so that it grows even where the
# server lost its counter. Keys of owners are computed in the scripts: all keys share one hash tag.
_CLAIM = """
local held = redis.call('HGET', KEYS[1], 'owner')
if held and held ~= '' and held ~= ARGV[2] then
    local left = redis.call('PTTL', ARGV[4] .. ':o:' .. held)
    if left > 0 then return {0, held, left} end
end
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local fence = tonumber(redis.call('GET', KEYS[2]) or '0') + 1
if fence < now then fence = now end
fence = string.format('%.0f', fence)
redis.call('SET', KEYS[2], fence)
redis.call('SET', KEYS[3], '1', 'PX', ARGV[3])
redis.call('HSET', KEYS[1], 'fence', fence, 'owner', ARGV[2])
redis.call('ZADD', KEYS[4], string.format('%.0f', now), ARGV[1])
local r = redis.call('HMGET', KEYS[1], 'step', 'model', 'data')
return {1, fence, r[1], r[2], r[3]}
"""
_SAVE = """
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[2] then return redis.call('HGET', KEYS[1], 'owner') or '' end
redis.call('HSET', KEYS[1], 'step', ARGV[3], 'model', ARGV[4], 'data', ARGV[5])
local t = redis.call('TIME')
redis.call('ZADD', KEYS[2], string.format('%.0f', t[1] * 1000000 + t[2]), ARGV[1])
return false
"""
_RELEASE = """
if redis.call('HGET', KEYS[1], 'fence') ~= ARGV[2] then return 0 end
if redis.call('HEXISTS', KEYS[1], 'data') == 0 then
    redis.call('ZREM', KEYS[2], ARGV[1])
    return redis.call('DEL', KEYS[1])
end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[2], string.format('%.0f', t[1] * 1000000 + t[2]), ARGV[1])
return redis.call('HSET', KEYS[1], 'owner', '')
"""
_SWEEP = """
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local gone = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('(%.0f', now - ARGV[1]))) do
    local key = ARGV[2] .. ':s:' .. id
    local owner = redis.call('HGET', key, 'owner')
    if owner and owner ~= '' and redis.call('EXISTS', ARGV[2] .. ':o:' .. owner) == 1 then
        redis.call('ZADD', KEYS[1], string.format('%.0f', now), id)
    else
        gone = gone + redis.call('DEL', key)
        redis.call('ZREM', KEYS[1], id)
    end
end
return gone
"""


class RedisStore(Store):
    """Streams kept in Redis (5 or later), shared by processes on any number of machines.

    Parameters
    ----------
    url : as redis-py takes it, e.g. ``redis://localhost:6379/0``. Needs ``pip install rnnrt[redis]``.
    prefix : what the keys begin with.
    timeout : seconds after which the server counts as not reached.
    lease, ttl, interval : see :class:`Store`. Times are those of the server's clock.

    A snapshot counts as durable when the server has acknowledged it: whether it survives the server's own death
    is for the server's settings to say (``appendonly yes``, ``appendfsync``).
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "rnnrt",
        timeout: float = 5.0,
        lease: float = 10.0,
        ttl: float | None = None,
        interval: float = 0.1,
    ) -> None:
        super().__init__(lease=lease, ttl=ttl, interval=interval)
        try:
            import redis
        except ImportError as e:
            raise StateError("RedisStore needs the redis package: pip install 'rnnrt[redis]'") from e
        self.url, self._tag = url, "{" + prefix + "}"
        self._db = redis.Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout)
        self._db.ping()
        register = self._db.register_script
        self._claim, self._save, self._release, self._sweep = map(register, (_CLAIM, _SAVE, _RELEASE, _SWEEP))

    def _key(self, id: str) -> str:
        return f"{self._tag}:s:{id}"

    @property
    def _used(self) -> str:
        return f"{self._tag}:used"

    def claim(self, ids: Sequence[str], owner: str, lease: float) -> list[Claim | Held]:
        pipe = self._db.pipeline(transaction=False)
        for id in ids:
            keys = [self._key(id), f"{self._tag}:fence", f"{self._tag}:o:{owner}", self._used]
            self._claim(keys=keys, args=[id, owner, int(lease * 1000), self._tag], client=pipe)
        return [self._claimed(a) for a in pipe.execute()]

    @staticmethod
    def _claimed(a: Any) -> Claim | Held:
        if a[0] == 0:
            return Held(a[1].decode(), a[2] / 1000)
        if len(a) < 5 or a[4] is None:
            return Claim(int(a[1]))
        return Claim(int(a[1]), int(a[2]), a[3].decode(), a[4])

    def save(self, entries: Sequence[Entry]) -> list[str | None]:
        pipe = self._db.pipeline(transaction=False)
        for e in entries:
            args: list[str | int | bytes] = [e.id, e.fence, e.step, e.model, e.data]
            self._save(keys=[self._key(e.id), self._used], args=args, client=pipe)
        return [None if a is None else a.decode() for a in pipe.execute()]

    def beat(self, owner: str, lease: float) -> None:
        self._db.set(f"{self._tag}:o:{owner}", "1", px=int(lease * 1000))

    def retire(self, owner: str) -> None:
        self._db.delete(f"{self._tag}:o:{owner}")

    def release(self, claims: Sequence[tuple[str, int]]) -> None:
        pipe = self._db.pipeline(transaction=False)
        for id, fence in claims:
            self._release(keys=[self._key(id), self._used], args=[id, fence], client=pipe)
        pipe.execute()

    def remove(self, id: str) -> bool:
        pipe = self._db.pipeline()
        pipe.delete(self._key(id))
        pipe.zrem(self._used, id)
        return pipe.execute()[0] == 1

    def sweep(self, ttl: float) -> int:
        return int(self._sweep(keys=[self._used], args=[int(ttl * 1e6), self._tag]))  # type: ignore[arg-type]

    def shut(self) -> None:
        self._db.close()

    def __repr__(self) -> str:
        return f"<rnnrt.stores.RedisStore {self._tag[1:-1]!r}>"  # without the url: it may hold a password
