"""The buyer's token (`cs`): who has it may open one payment's page, status and stream. Compared in constant time."""

import hmac
from urllib.parse import parse_qs

from tongbao.domain.errors import NotFound
from tongbao.services.views import Views


def admit(views: Views, payment_id: str, token: str) -> None:
    """Raises NotFound unless the token is that payment's: a wrong one tells nothing, not even that it exists."""
    right = views.checkout_token(payment_id)
    if not hmac.compare_digest(right.encode(), token.encode("utf-8", "replace")):
        raise NotFound("no such payment page")


def token_in(query_string: bytes) -> str:
    """The `cs` of a raw query string, empty when there is none."""
    return parse_qs(query_string.decode("latin-1")).get("cs", [""])[0]
