"""What merchants send, as msgspec types: unknown fields are refused, with their pointer. OpenAPI is built from them."""

import re
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from tongbao.domain.errors import InvalidInput
from tongbao.domain.money import AMOUNT_MAX
from tongbao.web.problems import Malformed

T = TypeVar("T")

Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]
Text = Annotated[str, Meta(max_length=256)]
Url = Annotated[str, Meta(max_length=2048, pattern=r"^https?://[^\s]+$")]
Amount = Annotated[int, Meta(ge=1, le=AMOUNT_MAX, description="minor units")]
CurrencyCode = Annotated[str, Meta(min_length=3, max_length=3, pattern="^[A-Z]{3}$", description="ISO 4217")]
MetadataKey = Annotated[str, Meta(min_length=1, max_length=40)]
MetadataValue = Annotated[str, Meta(max_length=500)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=50)]
Options = Annotated[dict[str, Any], Meta(max_length=20)]


class Buyer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who buys, as far as the merchant wants to say."""

    id: Annotated[str, Meta(max_length=128)] | None = None
    ip: Annotated[str, Meta(max_length=45)] | None = None
    device_id: Annotated[str, Meta(max_length=128)] | None = None


class CreatePayment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A payment to create; without `method` the buyer chooses on the checkout page."""

    order_no: Name
    amount: Amount
    currency: CurrencyCode
    subject: Annotated[str, Meta(min_length=1, max_length=256)]
    method: Name | None = None
    channel_account: Name | None = None
    method_options: Options = {}
    return_url: Url | None = None
    expires_in: Annotated[int, Meta(ge=60, le=86_400, description="seconds")] = 1800
    buyer: Buyer | None = None
    metadata: Metadata = {}


class CreateAttempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Pay a pending payment by a method."""

    method: Name
    channel_account: Name | None = None
    method_options: Options = {}


class CreateRefund(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Money back; without `amount` all that is left."""

    refund_no: Name
    amount: Amount | None = None
    reason: Text | None = None


class CreateChannelAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One merchant identity at a channel. Credentials go in and never come out."""

    channel: Name
    name: Annotated[str, Meta(min_length=1, max_length=128)]
    credentials: Annotated[dict[str, Annotated[str, Meta(max_length=20_000)]], Meta(max_length=40)]
    metadata: Metadata = {}


class UpdateChannelAccount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Only what is given changes; given credentials are merged over the stored ones."""

    name: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    enabled: bool | None = None
    credentials: Annotated[dict[str, Annotated[str, Meta(max_length=20_000)]], Meta(max_length=40)] | None = None
    metadata: Metadata | None = None


class CreateWebhookEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where events are sent; no `event_types` means all of them."""

    url: Url
    event_types: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=50)] = []
    metadata: Metadata = {}


class UpdateWebhookEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Only what is given changes."""

    url: Url | None = None
    event_types: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=50)] | None = None
    enabled: bool | None = None
    metadata: Metadata | None = None


class Redeliver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To one endpoint, whatever it wants, or to all that want the event."""

    webhook_endpoint: Name | None = None


class Empty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A body that says nothing."""


_AT = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_FIELD = re.compile(r"(?:unknown|required) field `(?P<field>[^`]*)`")
_PART = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


def decoder(kind: type[T]) -> "msgspec.json.Decoder[T]":
    return msgspec.json.Decoder(kind)


def decode(body: bytes, by: "msgspec.json.Decoder[T]") -> T:
    """Raises Malformed for what is no JSON, InvalidInput with a JSON pointer for what does not fit."""
    try:
        value = by.decode(body or b"{}")
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"the body is not UTF-8 JSON: {error}") from None
    if b"\\u0000" in body:
        _refuse_nul(msgspec.to_builtins(value), "")
    return value


def _invalid(message: str) -> InvalidInput:
    pointer = ""
    found = _AT.search(message)
    if found:
        parts = [name or index for name, index in _PART.findall(found["path"])]
        pointer = "".join(f"/{part}" for part in parts if part != "...")
        message = message[: found.start()]
    field = _FIELD.search(message)
    if field:
        pointer += f"/{field['field']}"
    code = "unknown_field" if "unknown field" in message else "invalid_input"
    return InvalidInput(message.replace("`", ""), param=pointer or None, code=code)


def _refuse_nul(value: Any, pointer: str) -> None:
    """PostgreSQL cannot store NUL; it is refused at the door, so that it never reaches a batch."""
    if isinstance(value, str) and "\x00" in value:
        raise InvalidInput("a text may not contain NUL", param=pointer or None, code="invalid_text")
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_nul(name, pointer)
            _refuse_nul(item, f"{pointer}/{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_nul(item, f"{pointer}/{index}")
