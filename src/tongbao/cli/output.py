"""What commands print: text for people or JSON for programs on stdout, errors on stderr, an exit code for each kind.

Exit codes: 0 done, 1 refused or not found, 2 wrong usage, 3 the channel failed, 4 the database is away,
5 misconfigured, 6 an invariant is broken.
"""

import json
import sys
from collections.abc import Coroutine, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from tongbao.domain.errors import ChannelError, Misconfigured, StorageUnavailable, TongbaoError

T = TypeVar("T")


class Format(StrEnum):
    """How a command prints."""

    TEXT = "text"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", help="text for people, json for programs")]

EXIT_CODES: tuple[tuple[type[TongbaoError], int], ...] = (
    (ChannelError, 3),
    (StorageUnavailable, 4),
    (Misconfigured, 5),
    (TongbaoError, 1),
)
BROKEN = 6


def fail(message: str, code: int = 1) -> NoReturn:
    print(f"tongbao: {message}", file=sys.stderr)
    raise typer.Exit(code)


def fail_with(error: TongbaoError) -> NoReturn:
    code = next(code for kind, code in EXIT_CODES if isinstance(error, kind))
    fail(f"{error.message} [{error.code}]", code)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs a command's coroutine; errors of the house become a line and an exit code."""
    import asyncio

    try:
        return asyncio.run(work)
    except TongbaoError as error:
        fail_with(error)
    except (ConnectionError, OSError) as error:
        fail(f"the database cannot be reached: {error}", 4)


def plain(value: Any) -> Any:
    """JSON-ready: dataclasses and structs as objects, times as RFC 3339."""
    import msgspec

    if isinstance(value, bytes):
        return "***"
    if is_dataclass(value) and not isinstance(value, type):
        return {name: plain(item) for name, item in asdict(value).items()}
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value


def show(value: Any, form: Format) -> None:
    """One object: JSON, or `name: value` lines."""
    ready = plain(value)
    if form is Format.JSON:
        print(json.dumps(ready, ensure_ascii=False, indent=2))
        return
    width = max((len(name) for name in ready), default=0)
    for name, item in ready.items():
        print(f"{name:<{width}}  {'' if item is None else item}")


def show_rows(rows: Sequence[Any], columns: Sequence[str], form: Format) -> None:
    """Many objects: a JSON array, or a table of the named columns."""
    ready = [plain(row) for row in rows]
    if form is Format.JSON:
        print(json.dumps(ready, ensure_ascii=False, indent=2))
        return
    if not ready:
        print("nothing found")
        return
    table = [list(columns)] + [["" if row.get(c) is None else str(row.get(c)) for c in columns] for row in ready]
    widths = [max(len(line[index]) for line in table) for index in range(len(columns))]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
