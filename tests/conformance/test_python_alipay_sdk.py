"""python-alipay-sdk, unmodified, against the sandbox over real HTTP: pays, asks, refunds, and believes only Alipay."""

from collections.abc import Iterator
from typing import Any

import pytest
from alipay import AliPay
from alipay.exceptions import AliPayException, AliPayValidationError

from tests.simulators.served import ListeningShop, Served, served


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("sandbox")) as made:
        yield made


@pytest.fixture
def shop() -> Iterator[ListeningShop]:
    made = ListeningShop()
    yield made
    made.close()


@pytest.fixture
def client(sandbox: Served, shop: ListeningShop) -> Any:
    """Its gateway address is not a parameter; the attribute is what its users set."""
    account = sandbox.accounts()["alipay"]
    made = AliPay(
        appid=account["app_id"],
        app_notify_url=f"{shop.url}/notify",
        app_private_key_string=account["app_private_key_pkcs8_pem"],
        alipay_public_key_string=account["alipay_public_key_pem"],
        sign_type="RSA2",
    )
    made._gateway = account["gateway_url"]
    return made


def believed(client: Any, message: dict[str, str]) -> bool:
    """As its documentation tells: take the sign out, verify the rest."""
    data = dict(message)
    return bool(client.verify(data, data.pop("sign")))


def test_page_pay(client: Any, sandbox: Served, shop: ListeningShop) -> None:
    query = client.api_alipay_trade_page_pay("茶 tea", "SDK1", 0.01, return_url=f"{shop.url}/back")
    done = sandbox.run("pay", f"{client._gateway}?{query}")
    assert done.returncode == 0, done.stderr
    (told,) = shop.heard(1)
    assert believed(client, told)
    back = dict(part.split("=", 1) for part in shop.visited[0].partition("?")[2].split("&"))
    from urllib.parse import unquote_plus

    assert believed(client, {name: unquote_plus(value) for name, value in back.items()})
    assert client.api_alipay_trade_query(out_trade_no="SDK1")["trade_status"] == "TRADE_SUCCESS"


def test_wap_pay(client: Any, sandbox: Served, shop: ListeningShop) -> None:
    query = client.api_alipay_trade_wap_pay("tea", "SDK2", 0.01, return_url=f"{shop.url}/back")
    assert sandbox.run("pay", f"{client._gateway}?{query}").returncode == 0


def test_precreate_query_refund(client: Any, sandbox: Served, shop: ListeningShop) -> None:
    made = client.api_alipay_trade_precreate("tea", "SDK3", 9.99)
    assert made["code"] == "10000"
    missing = client.api_alipay_trade_query(out_trade_no="SDK3")
    assert missing["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert sandbox.run("pay", made["qr_code"]).returncode == 0
    paid = client.api_alipay_trade_query(out_trade_no="SDK3")
    assert (paid["trade_status"], paid["total_amount"]) == ("TRADE_SUCCESS", "9.99")
    refunded = client.api_alipay_trade_refund(1.99, out_trade_no="SDK3", out_request_no="R1")
    assert (refunded["fund_change"], refunded["refund_fee"]) == ("Y", "1.99")
    found = client.api_alipay_trade_fastpay_refund_query("R1", out_trade_no="SDK3")
    assert (found["refund_status"], found["refund_amount"]) == ("REFUND_SUCCESS", "1.99")
    payment, refund = shop.heard(2)
    assert believed(client, payment)
    assert believed(client, refund)
    assert refund["out_biz_no"] == "R1"


def test_close(client: Any, sandbox: Served) -> None:
    made = client.api_alipay_trade_precreate("tea", "SDK4", 1)
    sandbox.run("pay", made["qr_code"], "--decline")
    assert client.api_alipay_trade_close(out_trade_no="SDK4")["code"] == "10000"


def test_it_believes_no_forgery(client: Any, sandbox: Served, shop: ListeningShop) -> None:
    for number, fault in enumerate(("notification_forged", "notification_tampered"), 5):
        made = client.api_alipay_trade_precreate("tea", f"SDK{number}", 1)
        sandbox.run("faults", "set", fault)
        sandbox.run("pay", made["qr_code"])
        assert not believed(client, shop.heard(number - 4)[-1]), fault
    for fault, error in (
        ("reply_bad_signature", AliPayValidationError),
        ("reply_tampered", AliPayValidationError),
        ("reply_unsigned", AliPayException),
    ):
        sandbox.run("faults", "set", fault)
        with pytest.raises(error):
            client.api_alipay_trade_query(out_trade_no="SDK5")


def test_the_sandbox_believes_no_stranger(client: Any) -> None:
    from Cryptodome.PublicKey import RSA

    client._app_private_key = RSA.generate(2048)
    with pytest.raises(AliPayException, match="isv\\.invalid-signature"):
        client.api_alipay_trade_query(out_trade_no="SDK1")
    client._appid = "2021000000000000"
    with pytest.raises(AliPayException, match="isv\\.invalid-app-id"):
        client.api_alipay_trade_query(out_trade_no="SDK1")
