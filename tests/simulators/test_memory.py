"""What a sandbox remembers when its process is gone: everything that somebody was told."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.simulated import SimClock
from tests.simulators.merchant import World
from tongbao.simulators.journal import JournalBusy


async def test_everything_is_there_again(clock: SimClock, tmp_path: Path) -> None:
    world = World(clock, tmp_path / "first")
    world.shop.answer = b"later"
    await world.paid("T1", "10.00", fault="notification_delayed=60")
    await world.refund("T1", "3.00", "R1")
    waiting = await world.qr("T2")
    world.sandbox.alipay.scan(world.token(waiting), world.sandbox.buyer())
    world.sandbox.bank.faults.set("call_limited", merchant="x", calls=None)
    await world.sandbox.deliver_due()
    world.sandbox.advance(5)
    biz = {"grant_type": "authorization_code", "code": world.account["app_auth_code"]}
    token = (await world.call("alipay.open.auth.token.app", biz))["app_auth_token"]
    before = _state(world)
    world.sandbox.bank.flush()  # as the doors do before each answer; then the process is gone
    shutil.copytree(tmp_path / "first", tmp_path / "second")

    again = World(clock, tmp_path / "second")
    assert _state(again) == before
    assert again.account["app_private_key_pkcs8_pem"] == world.account["app_private_key_pkcs8_pem"]
    assert again.account["cert"]["alipay_root_cert_sn"] == world.account["cert"]["alipay_root_cert_sn"]
    assert (await again.query("T1"))["trade_status"] == "TRADE_SUCCESS"
    assert (await again.refund("T1", "3.00", "R1"))["fund_change"] == "N"
    assert (await again.call("alipay.open.auth.token.app.query", {"app_auth_token": token}))["status"] == "valid"
    again.sandbox.alipay.pay(again.token(waiting), again.sandbox.buyer())
    again.sandbox.advance(600)
    await again.sandbox.deliver_due()
    assert {told["out_trade_no"] for told in again.shop.received} == {"T1", "T2"}
    world.sandbox.close()
    again.sandbox.close()


def test_one_sandbox_per_journal(clock: SimClock, tmp_path: Path) -> None:
    world = World(clock, tmp_path)
    with pytest.raises(JournalBusy):
        World(clock, tmp_path)
    world.sandbox.close()
    World(clock, tmp_path).sandbox.close()


def _state(world: World) -> Any:
    bank = world.sandbox.bank
    return {
        "money": bank.total_minor(),
        "buyers": [buyer.balance_minor for buyer in bank.buyers.values()],
        "clock": bank.clock.now(),
        "faults": bank.faults.rules(),
        "trades": {trade.trade_no: trade for trade in world.sandbox.alipay.book.trades.values()},
        "notifications": {entry.id: entry for entry in bank.outbox.entries()},
    }


def test_files_are_for_their_owner(clock: SimClock, tmp_path: Path) -> None:
    world = World(clock, tmp_path)
    for path in [tmp_path / "sandbox.sqlite3", *tmp_path.rglob("app_private_key.pem")]:
        assert path.stat().st_mode & 0o077 == 0, path
    assert Path(world.account["alipay_public_key_file"]).read_text() == world.account["alipay_public_key_pem"]
    assert Path(world.account["cert"]["alipay_root_cert_file"]).exists()
    world.sandbox.close()
