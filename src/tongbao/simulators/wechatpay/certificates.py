"""GET /v3/certificates: the published platform certificates, encrypted under the merchant's APIv3 key.

Rule: a merchant that was only ever given a public key has none. SM certificates do not exist here.
"""

from collections.abc import Mapping
from typing import Any

from tongbao.simulators.wechatpay.book import Book
from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.fields import Text, check
from tongbao.simulators.wechatpay.request import Call
from tongbao.simulators.wechatpay.wire import china_time, sealed


def download(book: Book, call: Call) -> Mapping[str, Any]:
    """Raises Refusal."""
    kinds = Text("算法类型", 8, required=False, one_of=("RSA", "SM2", "ALL"))
    check(call.query, {"algorithm_type": kinds}, "query")
    if call.merchant.trust == "public_key" or call.query.get("algorithm_type") == "SM2":
        raise Refusal("no_certificates")
    return {
        "data": [
            {
                "serial_no": one.serial,
                "effective_time": china_time(one.effective_at),
                "expire_time": china_time(one.expires_at),
                "encrypt_certificate": sealed(book.bank, call.merchant.apiv3_key, "certificate", one.pem.encode()),
            }
            for one in book.merchants.certificates()
        ]
    }
