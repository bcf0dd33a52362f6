"""The way out: `send(Request) -> Reply`. Siblings chosen by argument: aiohttp, httpcore2 (blocking), in-process ASGI.

Rule: what can go wrong is one table for the whole house (`outcomes.py`). Redirects are never followed, the
environment's proxies are not trusted, bodies are bounded, connections are reused; to connect, until the headers and in
total are three limits that hold against a server that sends one byte at a time. HTTP libraries are imported when the
first request leaves, so that importing a channel stays cheap.
"""

from tongbao.ports import RawRequest, RawResponse, Reply, Request, SyncTransport, Timeouts, Transport
from tongbao.transport.asynchronous import AiohttpTransport
from tongbao.transport.blocking import HttpcoreTransport
from tongbao.transport.in_process import AsgiApp, AsgiTransport

__all__ = [
    "AiohttpTransport",
    "AsgiApp",
    "AsgiTransport",
    "HttpcoreTransport",
    "RawRequest",
    "RawResponse",
    "Reply",
    "Request",
    "SyncTransport",
    "Timeouts",
    "Transport",
]
