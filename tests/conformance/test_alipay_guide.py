"""docs/guides/alipay-without-the-gateway.md: its Python runs from top to bottom against a served sandbox.

The page's marks `<!-- test: ... -->` are what a reader does between two pieces of code: pay, wait for the notification,
let a day pass.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.simulators.served import ListeningShop, Served, served

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "alipay-without-the-gateway.md"
PIECE = re.compile(r"^```python\n(.*?)^```$|^<!-- test: (.*?) -->$", re.MULTILINE | re.DOTALL)
PLACES = {
    'SANDBOX = "http://127.0.0.1:8001"': "SANDBOX",
    'NOTIFY_URL = "https://shop.example/alipay/notify"': "NOTIFY_URL",
}


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path) as made:
        yield made


@pytest.fixture
def shop() -> Iterator[ListeningShop]:
    made = ListeningShop()
    yield made
    made.close()


def test_the_guide_runs(sandbox: Served, shop: ListeningShop) -> None:
    names: dict[str, Any] = {}

    def pays() -> None:
        done = sandbox.run("pay", names["qr_code"])
        assert done.returncode == 0, done.stdout + done.stderr

    def arrives() -> None:
        message = shop.heard(1)[0]
        assert names["notified"](message) == "success"
        assert names["notified"]({**message, "total_amount": "0.01"}) == "fail"

    def next_day() -> None:
        order = json.dumps({"advance_seconds": 36 * 3600}).encode()
        kind = {"content-type": "application/json"}
        with urlopen(Request(f"{sandbox.url}/_sandbox/clock", order, kind)) as answer:
            now = datetime.fromisoformat(json.load(answer)["now"])
        names["day"] = (now + timedelta(hours=8) - timedelta(hours=36)).date().isoformat()

    between: dict[str, Callable[[], None]] = {
        "the buyer pays qr_code": pays,
        "the notification arrives": arrives,
        "the next day": next_day,
    }
    text = PAGE.read_text("utf-8")
    for place, value in zip(PLACES, (sandbox.url, f"{shop.url}/notify"), strict=True):
        assert text.count(place) == 1
        text = text.replace(place, f"{PLACES[place]} = {value!r}")
    pieces = list(PIECE.finditer(text))
    assert {piece[2] for piece in pieces if piece[2]} == between.keys()
    for piece in pieces:
        if piece[2]:
            between[piece[2]]()
        else:
            line = text.count("\n", 0, piece.start()) + 1
            exec(compile("\n" * line + piece[1], str(PAGE), "exec"), names)
    names["alipay"].disconnect()
