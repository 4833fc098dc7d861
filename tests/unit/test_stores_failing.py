"""Stores that fail, the files of SQLite, forks, and wrong arguments."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from redis_server import RedisServer, need_redis
from runtime import same_bits
from stored import MODEL, X

import rnnrt
from rnnrt.stores import MemoryStore, RedisStore, SQLiteStore


class _Broken(MemoryStore):
    """Fails while told to."""

    broken = False
    saves = 0
    gate = None  # an event that each save waits for

    def save(self, entries):
        self.saves += 1
        if self.gate is not None:
            assert self.gate.wait(60), "a step waits for the store"
        if self.broken:
            raise OSError(28, "No space left on device")
        return super().save(entries)


def test_errors_of_the_store_are_told_and_nothing_is_lost():
    store = _Broken()
    s = MODEL.session(id="a", store=store)
    s.run(X[:, :5])
    s.flush_now()
    store.broken = True
    for t in range(5, 50):
        s.step(X[:, t])  # a failing disk does not disturb the steps
    with pytest.raises(rnnrt.StateError, match="'a': not saved after step 5, will be tried again.*No space left") as e:
        s.flush_now()
    assert isinstance(e.value.__cause__, OSError)
    assert "No space left" in str(s.store_error) and (s.saved_step, s.lag) == (5, 45)
    with pytest.raises(rnnrt.StateError, match="No space left"):
        store.flush()
    store.broken = False
    assert s.flush_now() == 50 and s.store_error is None
    assert store._shelf.streams["a"].step == 50
    s.close()
    store.close()


def test_what_failed_is_tried_again_without_being_asked():
    store = _Broken()
    s = MODEL.session(id="a", store=store)
    store.broken = True
    s.step(X[:, 0])
    end = time.monotonic() + 10
    while s.store_error is None and time.monotonic() < end:
        time.sleep(0.01)
    assert "No space left" in str(s.store_error)
    store.broken = False
    while s.lag and time.monotonic() < end:
        time.sleep(0.01)
    assert s.saved_step == 1 and s.store_error is None
    s.close()
    store.close()


def test_a_heartbeat_that_fails_is_told():
    class Deaf(MemoryStore):
        deaf = True

        def beat(self, owner, lease):
            if self.deaf:
                raise OSError("no route to host")
            super().beat(owner, lease)

    store = Deaf(lease=0.3)
    s = MODEL.session(id="a", store=store)
    end = time.monotonic() + 10
    while s.store_error is None and time.monotonic() < end:
        time.sleep(0.01)
    assert "does not hear that this process lives: no route to host" in str(s.store_error)
    store.deaf = False
    while s.store_error is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert s.store_error is None
    s.step(X[:, 0])
    s.close()
    store.close()


def test_closing_while_the_store_fails():
    store = _Broken()
    s = MODEL.session(id="a", store=store)
    s.step(X[:, 0])
    s.flush_now()
    store.broken = True
    s.step(X[:, 1])
    with pytest.raises(rnnrt.StateError, match="No space left"):
        s.close()
    store.broken = False
    t = MODEL.session(id="a", store=store)  # what could not be saved was kept, and is taken back
    assert t.steps == 2 and t.flush_now() == 2
    assert same_bits(t.get_state()["gru/h"], s.get_state()["gru/h"])
    del s
    gc.collect()
    t.close()
    t = MODEL.session(id="a", store=store)
    assert t.steps == t.saved_step == 2
    store.broken = True
    t.step(X[:, 2])
    with pytest.raises(rnnrt.StateError, match="not saved after step 2.*No space left"):
        store.close()
    with pytest.raises(rnnrt.StateError, match="No space left"):
        t.close()
    assert (t.saved_step, t.lag) == (2, 1)


def test_a_step_never_waits_and_only_the_latest_is_written():
    store = _Broken()
    store.gate = threading.Event()
    s = MODEL.session(id="a", store=store)
    for k in range(20000):
        s.step(X[:, k % 400])
    store.gate.set()
    assert s.flush_now() == 20000
    assert store.saves <= 3  # the first, what came while it waited, and the flush
    s.close()
    store.close()


def test_a_damaged_snapshot_is_refused_and_kept():
    store = MemoryStore()
    with MODEL.session(id="a", store=store) as s:
        s.step(X[:, 0])
    kept = store._shelf.streams["a"]
    kept.data = kept.data[:-9] + b"\xff" + kept.data[-8:]
    for _ in range(2):
        with pytest.raises(rnnrt.StateError, match="stream 'a' in .*damaged"):
            MODEL.session(id="a", store=store)
    assert kept.data is not None
    store.close()


def test_redis_goes_away_and_comes_back(tmp_path):
    need_redis()
    server = RedisServer(tmp_path, keep=True)
    store = RedisStore(server.url, lease=30.0, timeout=1.0)
    try:
        s = MODEL.session(id="a", store=store)
        s.run(X[:, :5])
        s.flush_now()
        server.stop()
        s.step(X[:, 5])
        with pytest.raises(rnnrt.StateError, match="not saved after step 5, will be tried again"):
            s.flush_now()
        with pytest.raises(rnnrt.StateError, match="'b': .* cannot be reached"):
            MODEL.session(id="b", store=store)
        server.start()
        assert s.flush_now() == 6
        s.close()
        store.close()
    finally:
        server.stop()


# ---- SQLite's file ---------------------------------------------------------------------------------------------


def test_sqlite_takes_its_own_files_only(tmp_path):
    import sqlite3

    alien = sqlite3.connect(tmp_path / "other.sqlite")
    alien.execute("CREATE TABLE t (x)")
    alien.commit()
    alien.close()
    before = (tmp_path / "other.sqlite").read_bytes()
    with pytest.raises(rnnrt.FormatError, match="of another program"):
        SQLiteStore(tmp_path / "other.sqlite")
    assert (tmp_path / "other.sqlite").read_bytes() == before
    (tmp_path / "text").write_text("no database at all, but a text of some length" * 20)
    with pytest.raises(rnnrt.FormatError, match="not an SQLite file"):
        SQLiteStore(tmp_path / "text")
    SQLiteStore(tmp_path / "a.sqlite").close()
    db = sqlite3.connect(tmp_path / "a.sqlite")
    db.execute("PRAGMA user_version = 7")
    db.close()
    with pytest.raises(rnnrt.FormatError, match="layout 7, this version of rnnrt knows 1"):
        SQLiteStore(tmp_path / "a.sqlite")


def test_sqlite_opened_by_many_at_once(tmp_path):
    code = (
        "import sys; from rnnrt.stores import SQLiteStore\n"
        "s = SQLiteStore(sys.argv[1])\n"
        "print(max(s.claim([f'{s.owner}{k}'], s.owner, 5.0)[0].fence for k in range(20))); s.close()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s.sqlite")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
    ends = [p.communicate(timeout=120) for p in running]
    assert [p.returncode for p in running] == [0] * 4, ends
    assert max(int(out) for out, _ in ends) == 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_the_child_of_a_fork_does_not_write_for_its_parent(tmp_path):
    code = f"""
import os, sys
sys.path[:0] = {[str(Path(__file__).parents[1]), str(Path(__file__).parent)]!r}
import rnnrt
from stored import MODEL, X
from rnnrt.stores import SQLiteStore
store = SQLiteStore({str(tmp_path / "s.sqlite")!r})
s = MODEL.session(id="a", store=store)
s.run(X[:, :5])
if (child := os.fork()) == 0:
    refused = 0
    try:
        s.step(X[:, 5])
    except rnnrt.StateError as e:
        refused += "made after the fork" in str(e)
    try:
        MODEL.session(id="b", store=store)
    except rnnrt.StateError:
        refused += 1
    store.close()
    mine = SQLiteStore({str(tmp_path / "s.sqlite")!r})
    with MODEL.session(id="c", store=mine) as t:
        t.step(X[:, 0])
    mine.close()
    os._exit(0 if refused == 2 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
s.step(X[:, 5])
assert s.flush_now() == 6
s.step(X[:, 6])  # and what nobody closes is saved at the end
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    with SQLiteStore(tmp_path / "s.sqlite") as store:
        with MODEL.session(id="a", store=store) as s:
            assert s.steps == 7
        with MODEL.session(id="c", store=store) as s:
            assert s.steps == 1


# ---- arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, text",
    [
        ({"lease": 0}, "lease: expected a positive number of seconds, got 0"),
        ({"ttl": -1.0}, "ttl"),
        ({"interval": "x"}, "interval"),
        ({"lease": True}, "lease"),
        ({"ttl": float("nan")}, "ttl"),
    ],
)
def test_wrong_options(options, text):
    with pytest.raises(rnnrt.StateError, match=text):
        MemoryStore(**options)


@pytest.mark.parametrize("id", ["", 5, b"x", "a\0b"])
def test_wrong_ids(id):
    with MemoryStore() as store, pytest.raises(rnnrt.StateError, match="id: expected a string"):
        MODEL.session(id=id, store=store)


def test_id_and_store_go_together():
    with MemoryStore() as store:
        with pytest.raises(rnnrt.StateError, match="go together"):
            MODEL.session(store=store)
        with pytest.raises(rnnrt.StateError, match="go together"):
            MODEL.session(id="x")
        with pytest.raises(rnnrt.StateError, match="either state= or initial_state="):
            MODEL.session(id="x", store=store, state=b"", initial_state=[])
        with pytest.raises(rnnrt.StateError, match="not a snapshot"):
            MODEL.session(id="x", store=store, state=b"no")
        MODEL.session(id="x", store=store).close()  # the refused one gave it back


def test_import_rnnrt_does_not_load_stores():
    code = (
        "import sys, rnnrt; assert not {'sqlite3', 'redis', 'asyncio', 'rnnrt.stores'} & set(sys.modules)\n"
        "rnnrt.stores.MemoryStore; assert 'redis' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
