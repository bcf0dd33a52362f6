"""Alipay's refusals: the gateway's own (unsigned) and a method's (signed), with the texts that go with their codes.

Rule: a gateway error means that the request was not understood or not believed, so nobody in particular is answered and
nothing is signed. A business failure is an answer to a proven application and is signed.
"""

from collections.abc import Mapping

MESSAGES = {
    "10000": "Success",
    "10003": " order success pay inprocess",
    "20000": "Service Currently Unavailable",
    "20001": "Insufficient Token Permissions",
    "40001": "Missing Required Arguments",
    "40002": "Invalid Arguments",
    "40003": "Insufficient Conditions",
    "40004": "Business Failed",
    "40005": "Call Limited",
    "40006": "Insufficient Permissions",
}

SUB_MESSAGES = {
    "isv.missing-method": "缺少方法名参数",
    "isv.missing-app-id": "缺少AppID参数",
    "isv.missing-signature": "缺少签名参数",
    "isv.missing-signature-type": "缺少签名类型参数",
    "isv.missing-timestamp": "缺少时间戳参数",
    "isv.missing-version": "缺少版本参数",
    "isv.missing-app-cert-sn": "缺少应用公钥证书序列号",
    "isv.missing-alipay-root-cert-sn": "缺少支付宝根证书序列号",
    "isv.invalid-alipay-root-cert-sn": "支付宝根证书序列号无效",
    "isv.app-cert-not-exist": "应用公钥证书不存在",
    "isv.app-cert-expired": "应用公钥证书已过期",
    "isv.decryption-error-missing-encrypt-type": "解密出错：未指定加密算法",
    "isv.decryption-error-not-valid-encrypt-type": "解密出错：不支持的加密算法",
    "isv.decryption-error-not-valid-encrypt-key": "解密出错：未配置加密密钥或密钥无效",
    "isv.decryption-error-unknown": "解密出错：未知异常",
    "isv.invalid-parameter": "参数无效",
    "isv.invalid-method": "不存在的方法名",
    "isv.invalid-format": "无效的数据格式",
    "isv.invalid-signature-type": "无效的签名类型",
    "isv.invalid-signature": "验签出错，请确认charset参数、签名参数、公私钥是否匹配",
    "isv.invalid-encrypt-type": "无效的加密类型",
    "isv.invalid-app-id": "无效的AppID参数",
    "isv.invalid-timestamp": "非法的时间戳参数",
    "isv.invalid-charset": "字符集错误，只支持GBK和UTF-8",
    "isv.illegal-json": "业务参数不是合法的JSON",
    "isv.app-call-limited": "应用调用次数超限",
    "isv.insufficient-isv-permissions": "ISV权限不足，建议在开发者中心检查是否已签约该功能",
    "isp.unknow-error": "系统繁忙",
    "aop.invalid-app-auth-token": "无效的应用授权令牌",
    "aop.invalid-auth-token": "无效的访问令牌",
    "isv.code-invalid": "授权码code无效",
    "isv.refresh-token-invalid": "刷新令牌refresh_token无效",
    "isv.grant-type-invalid": "grant_type参数无效",
    "ACQ.SYSTEM_ERROR": "系统异常",
    "ACQ.INVALID_PARAMETER": "参数无效",
    "ACQ.TRADE_NOT_EXIST": "交易不存在",
    "ACQ.TRADE_HAS_SUCCESS": "交易已被支付",
    "ACQ.TRADE_HAS_CLOSE": "交易已经关闭",
    "ACQ.TRADE_HAS_FINISHED": "交易已经完结",
    "ACQ.TRADE_STATUS_ERROR": "交易状态不合法",
    "ACQ.CONTEXT_INCONSISTENT": "交易信息被篡改",
    "ACQ.TRADE_BUYER_NOT_MATCH": "交易买家不匹配",
    "ACQ.TOTAL_FEE_EXCEED": "订单金额超过限额",
    "ACQ.SUB_GOODS_SIZE_MAX_COUNT": "商品明细数量超过限制",
    "ACQ.NOW_TIME_AFTER_EXPIRE_TIME_ERROR": "当前时间已超过允许支付的时间",
    "ACQ.APPLY_PC_MERCHANT_CODE_ERROR": "申请二维码失败",
    "ACQ.SELLER_NOT_EXIST": "卖家不存在",
    "ACQ.BUYER_NOT_EXIST": "买家不存在",
    "ACQ.BUYER_SELLER_EQUAL": "买卖家不能相同",
    "ACQ.BUYER_BALANCE_NOT_ENOUGH": "买家余额不足",
    "ACQ.SELLER_BALANCE_NOT_ENOUGH": "卖家余额不足",
    "ACQ.PAYMENT_AUTH_CODE_INVALID": "支付失败，获取顾客账户信息失败，请顾客刷新付款码后重新收款",
    "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": "撤销或退款金额与订单金额不一致",
    "ACQ.REASON_TRADE_REFUND_FEE_ERR": "退款金额无效",
    "ACQ.DISCORDANT_REPEAT_REQUEST": "请求信息与首次请求不一致",
}

UNAVAILABLE_CODES = frozenset({"isp.unknow-error", "aop.unknow-error", "aop.ACQ.SYSTEM_ERROR"})


class GatewayError(Exception):
    """The request was not accepted at the door: `code`, `sub_code`; the answer is not signed."""

    def __init__(self, code: str, sub_code: str, *, method: str = "", charset: str = "utf-8") -> None:
        super().__init__(sub_code)
        self.code = code
        self.sub_code = sub_code
        self.method = method
        self.charset = charset


class Failure(Exception):
    """The method failed: `sub_code` and the fields that its failure carries; the answer is signed."""

    def __init__(self, sub_code: str, fields: Mapping[str, str] | None = None, *, code: str = "40004") -> None:
        super().__init__(sub_code)
        self.code = code
        self.sub_code = sub_code
        self.fields = dict(fields or {})


def failure_node(code: str, sub_code: str, fields: Mapping[str, str]) -> dict[str, object]:
    """The node of a failed call."""
    sub_msg = SUB_MESSAGES.get(sub_code, sub_code)
    return {"code": code, "msg": MESSAGES[code], "sub_code": sub_code, "sub_msg": sub_msg, **fields}


def success_node(fields: Mapping[str, object], *, code: str = "10000") -> dict[str, object]:
    return {"code": code, "msg": MESSAGES[code], **fields}
