"""Opening an account from the gateway's credentials, for every channel: what is missing or cannot be right is named.

Rule: `param` is the JSON pointer of the credential in the request that brought it, as everywhere in the API.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from tongbao.domain.errors import InvalidInput
from tongbao.ports import Clock, CredentialField

A = TypeVar("A")


def opened(
    credentials: Mapping[str, str],
    fields: Iterable[CredentialField],
    clock: Clock,
    open_account: Callable[[Mapping[str, str], Clock], A],
) -> A:
    """What `open_account` makes of them; it names a credential by itself in `param`. Raises InvalidInput."""
    for field in fields:
        if field.required and not credentials.get(field.name, "").strip():
            raise InvalidInput(f"{field.name} is missing", param=_pointer(field.name))
    try:
        return open_account(credentials, clock)
    except InvalidInput as error:
        raise InvalidInput(error.message, param=_pointer(error.param), code=error.code) from None


def _pointer(name: str | None) -> str:
    return "/credentials" if name is None else f"/credentials/{name}"
