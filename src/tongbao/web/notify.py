"""`/notify/{channel_account_id}`: the channels' door, one path for all of them. The answer is the channel's own.

Plain ASGI: it is as hot as creating payments. Nothing is answered before the commit.
"""

import time

import structlog

from tongbao.bootstrap import App
from tongbao.domain.errors import StorageUnavailable, TongbaoError
from tongbao.ports import RawRequest, RawResponse
from tongbao.web.door import Receive, Scope, Send, read_body
from tongbao.web.problems import TooLarge

log = structlog.get_logger()
PREFIX = "/notify/"


class NotifyDoor:
    """Serves `/notify/...`."""

    def __init__(self, services: App) -> None:
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        response = await self._answer(scope, receive)
        headers = [
            (b"content-type", response.content_type.encode()),
            (b"content-length", str(len(response.body)).encode()),
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})
        self._services.metrics.request("notify", response.status, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive) -> RawResponse:
        account_id = scope["path"][len(PREFIX) :]
        try:
            raw = RawRequest(
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"].decode("latin-1"),
                headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
                body=await read_body(scope, receive),
            )
            return await self._services.notifications.receive(account_id, raw)
        except TooLarge:
            return RawResponse(413)
        except StorageUnavailable:
            return RawResponse(503)
        except TongbaoError as error:
            log.warning("notification_not_for_us", path=scope["path"], code=error.code)
            return RawResponse(404)
        except Exception:
            log.exception("notification_crashed", channel_account=account_id)
            return RawResponse(500)
