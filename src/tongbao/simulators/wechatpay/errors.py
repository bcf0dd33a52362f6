"""What WeChat Pay refuses and in which words: HTTP status, code, text, and the number behind `Request-ID`.

Rule: callers branch on status and code, so both come from one table. Texts are the channel's own where the fact sheet
has them. Unverified choices: a paid order that is created again is INVALID_REQUEST, one that is closed ORDER_PAID;
failures of code pay are AUTH_CODE_EXPIRED and AUTH_CODE_INVALID; refunds of unpaid or old orders are INVALID_REQUEST.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Words(NamedTuple):
    """A row of the table."""

    status: int
    code: str
    message: str
    number: int = 268435461


TABLE: Mapping[str, Words] = {
    "param": Words(400, "PARAM_ERROR", "参数错误"),
    "mchid_differs": Words(400, "PARAM_ERROR", "http header中的mchid与post payload中的mchid不匹配"),
    "serial_missing": Words(400, "PARAM_ERROR", "HTTP header缺少微信支付平台证书序列号(Wechatpay-Serial)"),
    "serial_wrong": Words(400, "PARAM_ERROR", "平台证书序列号Wechatpay-Serial错误"),
    "not_decrypted": Words(400, "PARAM_ERROR", "敏感信息解密失败，请使用Wechatpay-Serial对应的公钥加密"),
    "illegal_text": Words(400, "PARAM_ERROR", "请求体仅支持1至3字节的UTF-8字符"),
    "appid": Words(400, "APPID_MCHID_NOT_MATCH", "appid和mch_id不匹配，请检查后再试", 268445527),
    "merchant_missing": Words(400, "MCH_NOT_EXISTS", "商户号不存在", 268443715),
    "refund_merchant_missing": Words(404, "MCH_NOT_EXISTS", "商户号不存在", 268443715),
    "no_permission": Words(403, "NO_AUTH", "商户无权限", 268443715),
    "openid": Words(400, "PARAM_ERROR", "无效的openid", 268501013),
    "reentry": Words(400, "INVALID_REQUEST", "请求重入时，参数与首次请求时不一致", 268498688),
    "number_used": Words(403, "OUT_TRADE_NO_USED", "商户订单号重复", 268498688),
    "already_paid": Words(400, "INVALID_REQUEST", "该订单已支付", 268498689),
    "order_closed": Words(400, "ORDER_CLOSED", "该订单已关闭，请重新下单", 268447914),
    "order_missing": Words(404, "ORDER_NOT_EXIST", "订单不存在", 268512771),
    "close_paid": Words(400, "ORDER_PAID", "该订单已支付", 268449538),
    "reverse_only": Words(400, "INVALID_REQUEST", "付款码支付订单只能撤销，不能关单", 268449641),
    "not_code_pay": Words(400, "INVALID_REQUEST", "非付款码支付订单不支持撤销", 268449641),
    "reverse_late": Words(400, "INVALID_REQUEST", "订单超过7天，不支持撤销，请使用退款", 268447914),
    "reverse_refunded": Words(400, "INVALID_REQUEST", "订单已发生退款，不支持撤销", 268449641),
    "code_expired": Words(400, "AUTH_CODE_EXPIRED", "付款码已过期，请用户刷新后重试", 268435464),
    "code_invalid": Words(400, "AUTH_CODE_INVALID", "付款码无效", 268435464),
    "payer_short": Words(403, "NOT_ENOUGH", "用户余额不足", 268892709),
    "system": Words(500, "SYSTEM_ERROR", "系统异常，请稍后重试", 268435456),
    "unavailable": Words(503, "SERVICE_UNAVAILABLE", "服务不可用，请稍后重试", 268435456),
    "limited": Words(429, "FREQUENCY_LIMITED", "频率超限，请稍后重试", 268447840),
    "cancel_limited": Words(429, "FREQUENCY_LIMIT_EXCEED", "频率超限，请稍后重试", 268447840),
    "share_limited": Words(429, "RATELIMIT_EXCEED", "频率超限，请稍后重试", 268447840),
    "no_certificates": Words(
        404, "RESOURCE_NOT_EXISTS", "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。"
    ),
    "refund_order_missing": Words(404, "RESOURCE_NOT_EXISTS", "订单不存在", 268512771),
    "refund_missing": Words(404, "RESOURCE_NOT_EXISTS", "退款单不存在", 268512771),
    "refund_unpaid": Words(400, "INVALID_REQUEST", "订单未支付，不能退款", 268447843),
    "refund_differs": Words(400, "INVALID_REQUEST", "订单金额或退款金额与之前请求不一致，请核实后再试", 268498688),
    "refunded_in_full": Words(400, "INVALID_REQUEST", "订单已全额退款", 268435464),
    "refund_too_much": Words(400, "INVALID_REQUEST", "申请退款金额超出订单可退金额", 268435464),
    "refund_too_often": Words(400, "INVALID_REQUEST", "订单部分退款次数超过50次", 268435464),
    "refund_too_late": Words(400, "INVALID_REQUEST", "订单已超过可退款的最大期限", 268447914),
    "refund_not_abnormal": Words(400, "INVALID_REQUEST", "退款单状态非退款异常，不能发起异常退款", 268435464),
    "merchant_short": Words(403, "NOT_ENOUGH", "基本账户余额不足，请充值后重新发起", 268892709),
    "no_bill": Words(400, "NO_STATEMENT_EXIST", "账单文件不存在", 268435464),
    "bill_creating": Words(400, "STATEMENT_CREATING", "账单生成中，请稍后重试", 268435464),
    "bill_date": Words(400, "INVALID_REQUEST", "账单日期不在可查询的范围内", 268435464),
    "bill_token": Words(400, "INVALID_REQUEST", "下载链接无效或已过期，请重新申请账单", 268435464),
    "bill_other": Words(403, "NO_AUTH", "无权下载该商户的账单", 268443715),
    "transfer_differs": Words(400, "INVALID_REQUEST", "单号已存在但信息不一致,请查单后比较确认", 268498688),
    "transfer_missing": Words(404, "NOT_FOUND", "记录不存在", 268512771),
    "transfer_scene": Words(400, "PARAM_ERROR", "需传入转账场景报备信息,请检查"),
    "transfer_no_scene": Words(403, "NO_AUTH", "商户号未开通该转账场景", 268443715),
    "transfer_bounds": Words(400, "INVALID_REQUEST", "超过单笔转账上下限，请核实后重试", 268435464),
    "transfer_name": Words(400, "PARAM_ERROR", "转账金额达到2000元时，收款用户姓名必填"),
    "transfer_confirmed": Words(400, "INVALID_REQUEST", "当前转账单状态不支持撤销", 268435464),
    "batch_sums": Words(400, "PARAM_ERROR", "转账总金额或总笔数与明细不一致"),
    "batch_missing": Words(404, "NOT_FOUND", "批次单不存在", 268512771),
    "share_not_flagged": Words(400, "INVALID_REQUEST", "非分账订单不支持分账", 268435464),
    "share_early": Words(400, "INVALID_REQUEST", "订单处理中，请稍后重试", 268435464),
    "share_late": Words(400, "INVALID_REQUEST", "订单已解冻，不支持分账", 268447914),
    "share_ratio": Words(403, "RULE_LIMIT", "分账金额超出最大分账比例", 268435464),
    "share_short": Words(403, "NOT_ENOUGH", "分账金额不足", 268892709),
    "share_often": Words(403, "RULE_LIMIT", "分账次数超过上限", 268435464),
    "share_differs": Words(400, "INVALID_REQUEST", "分账接收方与原请求不一致", 268498688),
    "share_missing": Words(404, "RESOURCE_NOT_EXISTS", "分账单不存在", 268512771),
    "receiver_name": Words(400, "PARAM_ERROR", "分账接收方全称或姓名与账号不匹配"),
    "return_missing": Words(404, "RESOURCE_NOT_EXISTS", "分账回退单不存在", 268512771),
    "return_differs": Words(400, "INVALID_REQUEST", "分账回退参数与原请求不一致", 268498688),
    "return_late": Words(400, "INVALID_REQUEST", "分账单超过180天，不支持回退", 268447914),
    "return_short": Words(403, "NOT_ENOUGH", "回退金额超出可回退金额", 268892709),
    "upload_format": Words(400, "PARAM_ERROR", "上传文件格式错误"),
    "upload_size": Words(400, "PARAM_ERROR", "上传文件大小超出限制"),
    "upload_digest": Words(400, "PARAM_ERROR", "文件sha256与文件内容不一致"),
}


class Refusal(Exception):
    """An error answer, signed as any other."""

    def __init__(self, key: str, *, detail: Mapping[str, object] | None = None, message: str = "") -> None:
        words = TABLE[key]
        super().__init__(f"{words.code}: {message or words.message}")
        self.status, self.code, self.number = words.status, words.code, words.number
        self.message = message or words.message
        self.detail = detail

    def body(self) -> dict[str, object]:
        shown: dict[str, object] = {"code": self.code, "message": self.message}
        return shown if self.detail is None else {**shown, "detail": self.detail}


class Unsigned(Exception):
    """An answer from before anybody knows who asks: never signed. `code` empty: an empty body."""

    def __init__(self, status: int, code: str = "", message: str = "", *, named: bool = True) -> None:
        super().__init__(f"{status} {code} {message}")
        self.status, self.code, self.message = status, code, message
        self.named = named
        self.detail: Mapping[str, object] | None = None


def sign_error(message: str, *, named: bool = True) -> Unsigned:
    """401. `named`: the answer has a Request-ID."""
    return Unsigned(401, "SIGN_ERROR", message, named=named)
