"""What a request's fields have to be, as data, and the live validator's words when they are not.

Rule: over-length is measured in bytes, as the live validator does (its documents count characters). Fields that no
table names are let through; only some of the real endpoints refuse them.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NoReturn

import msgspec

from tongbao.simulators.wechatpay.errors import Refusal
from tongbao.simulators.wechatpay.wire import from_rfc3339

INT64_MAX = (1 << 63) - 1
TRADE_NO = r"^[0-9a-zA-Z_\-\|\*]+$"
WIDE_NO = r"^[0-9a-zA-Z_\-\|\*@]+$"
ALNUM = r"^[0-9a-zA-Z]+$"
NOTIFY_URL = r"^https?://([^\s/?#\[\]\@]+\@)?([^\s/?#\@:]+)(?::\d{2,5})?([^\s?#\[\]]*)$"


@dataclass(frozen=True, slots=True)
class Text:
    """A string of `size_min` to `size_max` bytes (or characters); `one_of` lists the values of an enum."""

    title: str
    size_max: int
    size_min: int = 1
    required: bool = True
    pattern: str = ""
    one_of: tuple[str, ...] = ()
    in_characters: bool = False


@dataclass(frozen=True, slots=True)
class Time:
    """RFC 3339."""

    title: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Int:
    """A 64-bit integer."""

    title: str
    minimum: int = 1
    required: bool = True


@dataclass(frozen=True, slots=True)
class Bool:
    """True or false."""

    title: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Obj:
    """An object; `size_max` limits its bytes."""

    title: str
    fields: "Mapping[str, Spec]"
    required: bool = True
    size_max: int = 0


@dataclass(frozen=True, slots=True)
class List:
    """An array of `count_min` to `count_max` items."""

    title: str
    item: "Spec"
    count_max: int
    count_min: int = 1
    required: bool = True


Spec = Text | Time | Int | Bool | Obj | List
Fields = Mapping[str, Spec]


def check(values: Mapping[str, Any], fields: Fields, location: str = "body") -> None:
    """Raises Refusal for the first field that breaks its rule, in the order of the table."""
    _each(values, fields, f"/{location}", location)


def _each(values: Mapping[str, Any], fields: Fields, pointer: str, location: str) -> None:
    for name, spec in fields.items():
        if name in values:
            _CHECKS[type(spec)](spec, values[name], f"{pointer}/{name}", location)
        elif spec.required:
            _missing(spec, f"{pointer}/{name}", location)


def require(values: Mapping[str, Any], name: str, title: str, location: str) -> str:
    """A query parameter that has to be there."""
    value = values.get(name, "")
    if not value:
        _missing(Text(title, 1), f"/{location}/{name}", location)
    return str(value)


def _text(spec: Text, value: object, pointer: str, location: str) -> None:
    if not isinstance(value, str):
        _kind(spec, pointer, location, value, "string 类型的 Json 值")
    if value == "" and not spec.required:
        return
    rule, size = (
        f"输入源“{pointer}”映射到值字段“{spec.title}”字符串规则校验失败，",
        len(value if spec.in_characters else value.encode()),
    )
    if size < spec.size_min:
        _bad(f"{rule}字符数 {size}，小于最小值 {spec.size_min}", location, size)
    if size > spec.size_max:
        _bad(f"{rule}字节数 {size}，大于最大值 {spec.size_max}", location, size)
    if spec.pattern and not _compiled(spec.pattern).search(value):
        _bad(f"{rule}字符串必须匹配正则表达式“{spec.pattern}”", location, value)
    if spec.one_of and value not in spec.one_of:
        _bad(f"{rule}枚举值必须为 {'、'.join(spec.one_of)} 之一", location, value)


def _time(spec: Time, value: object, pointer: str, location: str) -> None:
    if not isinstance(value, str):
        _kind(spec, pointer, location, value, "string 类型的 Json 值")
    if from_rfc3339(value) is None:
        _bad(f"输入源“{pointer}”映射到值字段“{spec.title}”规则校验失败，不是合法的 RFC3339 时间", location, value)


def _int(spec: Int, value: object, pointer: str, location: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > INT64_MAX:
        _kind(spec, pointer, location, value, "合法的 64 位有符号整数")
    if value < spec.minimum:
        words = f"输入源“{pointer}”映射到数值字段“{spec.title}”规则校验失败，值低于最小值 {spec.minimum}"
        _bad(words, location, value)


def _bool(spec: Bool, value: object, pointer: str, location: str) -> None:
    if not isinstance(value, bool):
        _kind(spec, pointer, location, value, "boolean 类型的 Json 值")


def _obj(spec: Obj, value: object, pointer: str, location: str) -> None:
    if not isinstance(value, dict):
        _kind(spec, pointer, location, value, "object 类型的 Json 值")
    size = len(msgspec.json.encode(value)) if spec.size_max else 0
    if size > spec.size_max:
        words = f"输入源“{pointer}”映射到值字段“{spec.title}”规则校验失败，字节数 {size}，大于最大值 {spec.size_max}"
        _bad(words, location, size)
    _each(value, spec.fields, pointer, location)


def _list(spec: List, value: object, pointer: str, location: str) -> None:
    if not isinstance(value, list):
        _kind(spec, pointer, location, value, "array 类型的 Json 值")
    rule, count = f"输入源“{pointer}”映射到数组字段“{spec.title}”规则校验失败，", len(value)
    if count < spec.count_min:
        _bad(f"{rule}元素个数 {count}，小于最小值 {spec.count_min}", location, count)
    if count > spec.count_max:
        _bad(f"{rule}元素个数 {count}，大于最大值 {spec.count_max}", location, count)
    for index, item in enumerate(value):
        _CHECKS[type(spec.item)](spec.item, item, f"{pointer}/{index}", location)


_CHECKS: Mapping[type, Callable[[Any, object, str, str], None]] = {
    Text: _text,
    Time: _time,
    Int: _int,
    Bool: _bool,
    Obj: _obj,
    List: _list,
}


def _missing(spec: Spec, pointer: str, location: str) -> NoReturn:
    _bad(f"输入源“{pointer}”映射到字段“{spec.title}”必填性规则校验失败，此字段为必填项", location, "")


def _kind(spec: Spec, pointer: str, location: str, value: object, wanted: str) -> NoReturn:
    _bad(f"无法将 JSON 输入源“{pointer}”映射到目标字段“{spec.title}”中，此字段需要一个{_gap(wanted)}", location, value)


def _gap(wanted: str) -> str:
    """A space before Latin letters, none before Chinese ones."""
    return f" {wanted}" if wanted[0].isascii() else wanted


def _bad(message: str, location: str, value: object) -> NoReturn:
    raise Refusal("param", message=message, detail={"location": location, "value": value})


@cache
def _compiled(pattern: str) -> "re.Pattern[str]":
    return re.compile(pattern)
