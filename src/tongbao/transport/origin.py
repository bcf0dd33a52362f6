"""On whose behalf this program acts: the request that came in. Logs name it, and outbound calls carry its trace on.

Rule 1: a caller's `traceparent` (W3C Trace Context) is passed on as it came. We record no spans of our own, and a span
        that nobody recorded would cut the caller's trace in two. What is not well formed is dropped.
Rule 2: no channel signs this header, so nothing that is signed changes.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar, Token
from typing import NamedTuple

TRACEPARENT = "traceparent"
WELL_FORMED = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Origin(NamedTuple):
    """A request that came in; `traceparent` is empty when it belongs to no trace."""

    request_id: str
    traceparent: str

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]


_current: ContextVar[Origin | None] = ContextVar("origin", default=None)


def act_for(request_id: str, traceparent: bytes = b"") -> Token[Origin | None]:
    """From now on this task acts on behalf of this request, until `act_for_nobody`."""
    known = traceparent.decode() if traceparent and WELL_FORMED.fullmatch(traceparent) else ""
    return _current.set(Origin(request_id, known))


def act_for_nobody(token: "Token[Origin | None]") -> None:
    """What was before `act_for` holds again."""
    _current.reset(token)


def current() -> Origin | None:
    """The request on whose behalf this is done; None for what the house does by itself."""
    return _current.get()


def traced(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers of an outbound call, with the trace that it belongs to."""
    origin = _current.get()
    return {**headers, TRACEPARENT: origin.traceparent} if origin is not None and origin.traceparent else headers
