"""Servers that do nothing, to know what the generator itself can do: its ceiling.

python -m bench.targets raw PORT     a bare protocol that answers without reading more than the end of the request
python -m bench.targets asgi PORT    the smallest ASGI callable on uvicorn, uvloop and httptools
"""

import asyncio
import sys
from typing import Any, cast

import uvicorn
import uvloop

BODY = b"{" + b'"id":"pay_00000000000000000000000000",' * 20 + b'"object":"payment"}'
"""About as long as the gateway's answer."""
ANSWER = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Raw(asyncio.Protocol):
    """One answer for each read; the generator has one request in flight and sends it in one write."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(ANSWER)


async def serve_raw(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Raw, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Reads the body and answers."""
    if scope["type"] != "http":
        return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "raw":
        uvloop.run(serve_raw(port))
    else:
        uvicorn.run(
            app,
            host="127.0.0.1",
            port=port,
            loop="uvloop",
            http="httptools",
            access_log=False,
            lifespan="off",
            log_level="warning",
        )


if __name__ == "__main__":
    main()
