"""A PostgreSQL whose line can be cut: a relay in front of the server that drops a connection at a chosen moment."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

COMMIT = b"COMMIT;"


class Line:
    """`lose_answers = n`: the next n commits are carried out, and their connections die before the answer is read.
    `lose_requests = n`: they die before the commit arrives. `down = True`: nobody gets through."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.lose_answers = 0
        self.lose_requests = 0
        self.down = False
        self.commits = 0
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.down:
            writer.close()
        else:
            self._open[writer] = asyncio.create_task(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection(self._server)
        losing = asyncio.Event()
        back = asyncio.create_task(self._answers(theirs, writer, losing))
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                if COMMIT in data:
                    self.commits += 1
                    if self.lose_requests > 0:
                        self.lose_requests -= 1
                        break
                    if self.lose_answers > 0:
                        self.lose_answers -= 1
                        losing.set()
                ours.write(data)
                await ours.drain()
                if losing.is_set():
                    await back
                    break
        back.cancel()
        await asyncio.gather(back, return_exceptions=True)
        del self._open[writer]
        for end in (ours, writer):
            end.close()
            with contextlib.suppress(ConnectionError):
                await end.wait_closed()

    @staticmethod
    async def _answers(theirs: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        while data := await theirs.read(1 << 16):
            if losing.is_set():
                return
            writer.write(data)
            await writer.drain()

    def cut(self) -> None:
        """Every open connection dies now."""
        for writer in self._open:
            writer.transport.abort()

    async def close(self) -> None:
        tasks = list(self._open.values())
        self.cut()
        await asyncio.gather(*tasks)


@contextlib.asynccontextmanager
async def cut_line(url: str) -> AsyncIterator[tuple[Line, str]]:
    """The line, and the address of the database behind it."""
    parts = urlsplit(url)
    (folder,) = parse_qs(parts.query)["host"]
    line = Line(f"{folder}/.s.PGSQL.5432")
    mine = Path(tempfile.mkdtemp(prefix="pg"))
    server = await asyncio.start_unix_server(line.accept, mine / ".s.PGSQL.5432")
    try:
        yield line, urlunsplit(parts._replace(query=f"host={mine}"))
    finally:
        server.close()
        await line.close()
        await server.wait_closed()
        shutil.rmtree(mine)
