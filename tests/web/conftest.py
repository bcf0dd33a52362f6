"""A whole gateway in this process: real services, real PostgreSQL, time and chance that the test moves."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.simulated import SimClock, SimIds
from tongbao.bootstrap import App, build
from tongbao.config import read_settings
from tongbao.domain.account import App as MerchantApp
from tongbao.storage.database import Database
from tongbao.transport import AsgiTransport, Reply, Request
from tongbao.web.app import build_gateway

HOST = "gateway.test"


@dataclass(slots=True)
class Api:
    """A merchant's client: bearer key, JSON in and out."""

    transport: AsgiTransport
    key: str
    app: MerchantApp

    async def call(
        self, method: str, path: str, body: object = None, *, key: str | None = None, **headers: str
    ) -> tuple[Reply, Any]:
        raw = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        sent = {"authorization": f"Bearer {key or self.key}", "content-type": "application/json"}
        sent.update({name.replace("_", "-"): value for name, value in headers.items()})
        reply = await self.transport.send(Request(method, f"http://{HOST}{path}", sent, raw))
        return reply, msgspec.json.decode(reply.body) if reply.body else None


@pytest.fixture
async def services(database: Database, clock: SimClock, ids: SimIds, tmp_path: Path) -> AsyncIterator[App]:
    settings = read_settings({}, data_dir=str(tmp_path), base_url=f"http://{HOST}")
    app = await build(settings, clock=clock, ids=ids, transport=AsgiTransport({}), database=database)
    yield app
    await app.close()


@pytest.fixture
async def api(services: App) -> Api:
    app, key = await services.accounts.create_app("shop", livemode=False)
    return Api(AsgiTransport({HOST: build_gateway(services)}), key, app)
