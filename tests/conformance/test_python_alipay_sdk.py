"""python-alipay-sdk, unmodified, against the sandbox over real HTTP: pays, asks, refunds, and believes only Alipay."""

from collections.abc import Iterator
from typing import Any

import pytest
from alipay.exceptions import AliPayException, AliPayValidationError

from alipay import AliPay, DCAliPay, ISVAliPay
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


# --- the rest of its public surface


def test_counter_and_mini_program(client: Any, sandbox: Served) -> None:
    buyer = sandbox.accounts()["alipay"]["buyers"][0]
    code = buyer["auth_codes"][0]["code"]
    paid = client.api_alipay_trade_pay("SDK20", "bar_code", code, "tea", total_amount=1.5)
    assert (paid["code"], paid["total_amount"]) == ("10000", "1.50")
    cancelled = client.api_alipay_trade_cancel(out_trade_no="SDK20")
    assert (cancelled["action"], cancelled["retry_flag"]) == ("refund", "N")
    made = client.api_alipay_trade_create("tea", "SDK21", 2, buyer_id=buyer["user_id"])
    assert made["code"] == "10000"
    assert sandbox.run("pay", made["trade_no"]).returncode == 0


def test_in_app_order(client: Any, sandbox: Served) -> None:
    order = client.api_alipay_trade_app_pay("tea", "SDK22", 3)
    assert sandbox.run("pay", order).returncode == 0
    assert client.api_alipay_trade_query(out_trade_no="SDK22")["trade_status"] == "TRADE_SUCCESS"


def test_splits_and_older_transfers(client: Any, sandbox: Served) -> None:
    buyer = sandbox.accounts()["alipay"]["buyers"][1]["user_id"]
    made = client.api_alipay_trade_precreate("tea", "SDK23", 10)
    sandbox.run("pay", made["qr_code"])
    number = client.api_alipay_trade_query(out_trade_no="SDK23")["trade_no"]
    bound = {"out_request_no": "B1", "receiver_list": [{"type": "userId", "account": buyer}]}
    assert client.server_api("alipay.trade.royalty.relation.bind", bound)["result_code"] == "SUCCESS"
    settled = client.api_alipay_trade_order_settle("S1", number, [{"trans_in": buyer, "amount": "4.00"}])
    assert settled["settle_no"]
    sent = client.api_alipay_fund_trans_toaccount_transfer("X1", "ALIPAY_USERID", buyer, 1.25)
    found = client.api_alipay_fund_trans_order_query(out_biz_no="X1")
    assert (found["order_id"], found["status"]) == (sent["order_id"], "SUCCESS")
    with pytest.raises(AliPayException, match=r"isv\.insufficient-isv-permissions"):
        client.api_alipay_ebpp_invoice_token_batchquery(invoice_token="x")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # it reads certificates by pyOpenSSL's old functions
def test_certificates(sandbox: Served) -> None:
    account = sandbox.accounts()["alipay"]["cert"]
    client = DCAliPay(
        appid=account["app_id"],
        app_private_key_string=account["app_private_key_pkcs1_pem"],
        app_public_key_cert_string=account["app_cert_pem"],
        alipay_public_key_cert_string=account["alipay_cert_pem"],
        alipay_root_cert_string=account["alipay_root_cert_pem"],
    )
    client._gateway = account["gateway_url"]
    assert client.app_cert_sn == account["app_cert_sn"]
    assert client.alipay_root_cert_sn == account["alipay_root_cert_sn"]
    buyer = sandbox.accounts()["alipay"]["buyers"][1]
    sent = client.api_alipay_fund_trans_uni_transfer("U1", "ALIPAY_USER_ID", buyer["user_id"], 1)
    assert sent["status"] == "SUCCESS"
    assert client.api_alipay_trade_query(out_trade_no="NONE")["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    sandbox.run("faults", "set", "reply_key_rotated")
    with pytest.raises(AliPayValidationError):
        client.api_alipay_trade_query(out_trade_no="NONE")
    assert "alipay_cert_sn" in client.api_alipay_open_app_alipaycert_download(account["alipay_cert_sn"])


def test_acting_for_a_merchant(sandbox: Served) -> None:
    account = sandbox.accounts()["alipay"]
    client = ISVAliPay(
        appid=account["app_id"],
        app_private_key_string=account["app_private_key_pkcs1_pem"],
        alipay_public_key_string=account["alipay_public_key_pem"],
        app_auth_code=account["cert"]["app_auth_code"],
    )
    client._gateway = account["gateway_url"]
    asked = client.server_api(
        "alipay.open.auth.token.app", {"grant_type": "authorization_code", "code": client._app_auth_code}
    )
    client._app_auth_token = asked["app_auth_token"]
    assert client.api_alipay_open_auth_token_app_query()["auth_app_id"] == account["cert"]["app_id"]
    assert client.api_alipay_trade_precreate("tea", "ISV1", 1)["code"] == "10000"
