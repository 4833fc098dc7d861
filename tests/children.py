"""Work in a forked child."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

__all__ = ["in_child"]


def in_child(work: Callable[[], object]) -> None:
    """Run work in a forked child, which must end well; one that hangs is killed after a minute."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    for _ in range(1200):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError("the child hangs")
