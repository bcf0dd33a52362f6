"""Every method that the gateway knows, and how it is carried out."""

from collections.abc import Mapping
from functools import partial

from tongbao.simulators.alipay import (
    agreements,
    counter,
    freezes,
    oauth,
    payments,
    refunds,
    royalty,
    statements,
    transfers,
)
from tongbao.simulators.alipay.certificates import Authority
from tongbao.simulators.alipay.errors import GatewayError
from tongbao.simulators.alipay.gateway import Handler
from tongbao.simulators.alipay.orders import required
from tongbao.simulators.alipay.request import Call
from tongbao.simulators.alipay.trades import Book
from tongbao.simulators.alipay.wire import encoded


def handlers(authority: Authority) -> Mapping[str, Handler]:
    """By method name."""
    return {**_HANDLERS, "alipay.open.app.alipaycert.download": Handler(partial(_certificate, authority), plain=True)}


def _certificate(authority: Authority, book: Book, call: Call) -> dict[str, object]:
    """alipay.open.app.alipaycert.download: base64 of the PEM; the answer is not signed."""
    return {"alipay_cert_content": encoded(authority.by_serial(required(call, "alipay_cert_sn", 64)))}


def _not_contracted(book: Book, call: Call) -> dict[str, object]:
    """A method that exists but that these merchants have no contract for."""
    raise GatewayError("40006", "isv.insufficient-isv-permissions")


_HANDLERS: Mapping[str, Handler] = {
    "alipay.trade.page.pay": Handler(page=payments.page_pay),
    "alipay.trade.wap.pay": Handler(page=payments.wap_pay),
    "alipay.trade.app.pay": Handler(),
    "alipay.trade.precreate": Handler(payments.precreate),
    "alipay.trade.pay": Handler(counter.pay),
    "alipay.trade.create": Handler(counter.create),
    "alipay.trade.query": Handler(payments.query),
    "alipay.trade.cancel": Handler(counter.cancel),
    "alipay.trade.close": Handler(payments.close),
    "alipay.trade.refund": Handler(refunds.refund),
    "alipay.trade.fastpay.refund.query": Handler(refunds.refund_query),
    "alipay.data.dataservice.bill.downloadurl.query": Handler(statements.download_url),
    "alipay.fund.trans.uni.transfer": Handler(transfers.uni_transfer),
    "alipay.fund.trans.common.query": Handler(transfers.common_query),
    "alipay.fund.trans.toaccount.transfer": Handler(transfers.to_account),
    "alipay.fund.trans.order.query": Handler(transfers.order_query),
    "alipay.trade.order.settle": Handler(royalty.settle),
    "alipay.trade.order.settle.query": Handler(royalty.settle_query),
    "alipay.trade.royalty.relation.bind": Handler(royalty.bind),
    "alipay.trade.royalty.relation.unbind": Handler(royalty.unbind),
    "alipay.trade.royalty.relation.batchquery": Handler(royalty.list_bound),
    "alipay.user.agreement.page.sign": Handler(page=agreements.page_sign),
    "alipay.user.agreement.query": Handler(agreements.query),
    "alipay.user.agreement.unsign": Handler(agreements.unsign),
    "alipay.fund.auth.order.freeze": Handler(freezes.freeze),
    "alipay.fund.auth.order.unfreeze": Handler(freezes.unfreeze),
    "alipay.fund.auth.operation.detail.query": Handler(freezes.detail),
    "alipay.system.oauth.token": Handler(oauth.user_token, error_node="error_response"),
    "alipay.open.auth.token.app": Handler(oauth.app_token),
    "alipay.open.auth.token.app.query": Handler(oauth.app_token_query),
    "alipay.ebpp.invoice.token.batchquery": Handler(_not_contracted),
}
