"""What the sandbox remembers: documents in memory, written through to one SQLite file.

Rule: a document that changed is `put` on its shelf, and `flush` runs before any answer leaves, so that a process killed
with -9 has lost nothing that somebody was told. There is no fsync: a crash of the whole machine is not survived.
"""

import fcntl
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Generic, Protocol, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

_TABLE = "CREATE TABLE IF NOT EXISTS documents (kind TEXT, key TEXT, body BLOB, PRIMARY KEY (kind, key)) WITHOUT ROWID"
_UPSERT = "INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body"
_DELETE = "DELETE FROM documents WHERE kind = ? AND key = ?"


class JournalBusy(Exception):
    """Another process holds this journal; two would forget each other's trades."""


class _Dirty(Protocol):
    def take_changes(self) -> list[tuple[str, str, bytes | None]]: ...


class Journal:
    """One SQLite file; `path` None keeps everything in memory only."""

    def __init__(self, path: Path | None) -> None:
        self._shelves: list[_Dirty] = []
        self._connection: sqlite3.Connection | None = None
        self._lock: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(path.with_suffix(".lock"))
            self._connection = sqlite3.connect(path, isolation_level=None)
            path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute(_TABLE)

    def read(self, kind: str) -> Iterator[tuple[str, bytes]]:
        if self._connection is not None:
            yield from self._connection.execute("SELECT key, body FROM documents WHERE kind = ?", (kind,))

    def attach(self, shelf: _Dirty) -> None:
        self._shelves.append(shelf)

    def flush(self) -> None:
        """Writes every change since the last flush in one transaction."""
        changes = [change for shelf in self._shelves for change in shelf.take_changes()]
        if not changes or self._connection is None:
            return
        self._connection.execute("BEGIN")
        for kind, key, body in changes:
            if body is None:
                self._connection.execute(_DELETE, (kind, key))
            else:
                self._connection.execute(_UPSERT, (kind, key, body))
        self._connection.execute("COMMIT")

    def close(self) -> None:
        self.flush()
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _locked(path: Path) -> BinaryIO:
    """Holds the lock as long as the file is open, which is until the process ends, however it ends."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise JournalBusy(f"another sandbox is using {path.parent}") from None
    return file


class Shelf(Generic[T]):
    """The documents of one kind, by key. A document taken from the shelf and changed has to be put back."""

    def __init__(self, journal: Journal, kind: str, of: type[T]) -> None:
        self._kind = kind
        self._dirty: set[str] = set()
        decoder = msgspec.json.Decoder(of)
        self._documents: dict[str, T] = {key: decoder.decode(body) for key, body in journal.read(kind)}
        self._encoder = msgspec.json.Encoder()
        journal.attach(self)

    def get(self, key: str) -> T | None:
        return self._documents.get(key)

    def put(self, key: str, document: T) -> T:
        self._documents[key] = document
        self._dirty.add(key)
        return document

    def remove(self, key: str) -> None:
        if self._documents.pop(key, None) is not None:
            self._dirty.add(key)

    def values(self) -> list[T]:
        return list(self._documents.values())

    def newest(self, count: int) -> list[T]:
        """The last `count` documents put for the first time, newest first."""
        keys = reversed(self._documents)
        return [self._documents[key] for key, _ in zip(keys, range(count), strict=False)]

    def __len__(self) -> int:
        return len(self._documents)

    def __contains__(self, key: str) -> bool:
        return key in self._documents

    def take_changes(self) -> list[tuple[str, str, bytes | None]]:
        if not self._dirty:
            return []
        changed, self._dirty = self._dirty, set()
        return [(self._kind, key, self._encode(key)) for key in changed]

    def _encode(self, key: str) -> bytes | None:
        document = self._documents.get(key)
        return None if document is None else self._encoder.encode(document)
