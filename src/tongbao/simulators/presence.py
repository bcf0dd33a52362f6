"""Where a running sandbox can be found: `<data dir>/sandbox.json` with its address and process id.

Rule: whoever serves a sandbox announces it, and withdraws its own announcement when it ends; a file that a killed
process left behind names an address that no longer answers, which is what its reader then says.
"""

from pathlib import Path

import msgspec

FILE = "sandbox.json"


class Presence(msgspec.Struct):
    """Content of the file."""

    url: str
    pid: int


def announce(data_dir: Path, url: str, pid: int) -> None:
    """Written whole or not at all."""
    data_dir.mkdir(parents=True, exist_ok=True)
    fresh = data_dir / f".{FILE}.{pid}"
    fresh.write_bytes(msgspec.json.encode(Presence(url.rstrip("/"), pid)))
    fresh.replace(data_dir / FILE)


def withdraw(data_dir: Path, pid: int) -> None:
    """Removes the announcement if it is still this process's."""
    found = find(data_dir)
    if found is not None and found.pid == pid:
        (data_dir / FILE).unlink(missing_ok=True)


def find(data_dir: Path) -> Presence | None:
    """The announced sandbox, None when there is none (or the file is no announcement)."""
    try:
        return msgspec.json.decode((data_dir / FILE).read_bytes(), type=Presence)
    except (OSError, msgspec.MsgspecError):
        return None
