"""Which addresses a webhook may go to. Pure: it reads a URL and judges addresses; it resolves and connects nothing.

Rule 1: the ranges are listed here, one by one; `ipaddress.is_global` is only a second net below them.
Rule 2: a host that could be read as a number is either a canonical address or refused: browsers, resolvers and
libraries disagree about `0x7f.1`, `017700000001` and `127.1`, and that disagreement is the attack.
Rule 3: what the operator allows (`allowed_networks`) lifts rule 1 for these networks, and nothing else.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, quote, urlsplit

from tongbao.domain.errors import InvalidInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

URL_LENGTH_MAX = 2048
LIVE_PORTS = frozenset({443, 8443})
DEFAULT_PORTS = {"http": 80, "https": 443}

# RFC 6890 and its heirs: what is not a merchant's server on the public internet.
REFUSED_NETWORKS: tuple[Network, ...] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier NAT; holds Alibaba Cloud's metadata, 100.100.100.200
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; holds the other clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "::/96",  # unspecified, loopback, IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64: an IPv4 address in disguise
        "64:ff9b:1::/48",  # NAT64, local
        "100::/64",  # discard
        "2001::/23",  # protocol assignments; holds Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address in disguise
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local
        "fe80::/10",  # link-local
        "fec0::/10",  # site-local
        "ff00::/8",  # multicast
    )
)

_UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEVIATING = frozenset("ßς\u200c\u200d")  # IDNA 2003 and 2008 lead to different hosts for these


@dataclass(frozen=True, slots=True)
class Target:
    """Where a URL leads: `host` in ASCII, lower-case, without brackets or final dot; `path` with its query, encoded.
    `literal` is the address when the host is one, else None: then every answer of the resolver is to be judged."""

    scheme: str
    host: str
    port: int
    path: str
    literal: Address | None

    @property
    def url(self) -> str:
        """The normalised URL."""
        host = f"[{self.host}]" if isinstance(self.literal, IPv6Address) else self.host
        port = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


def networks_from(given: Iterable[str | Network]) -> tuple[Network, ...]:
    """Networks, also from CIDR texts (`10.0.0.0/8`, `127.0.0.1`); raises InvalidInput for one that is none."""
    networks: list[Network] = []
    for text in given:
        try:
            networks.append(ip_network(text.strip()) if isinstance(text, str) else text)
        except ValueError as error:
            raise InvalidInput(f"{text!r} is not a network in CIDR form: {error}") from None
    return tuple(networks)


def is_refused(address: Address, allowed: Iterable[Network] = ()) -> bool:
    """True for an address that no webhook may connect to."""
    if any(address in network for network in allowed):
        return False
    return not address.is_global or any(address in network for network in REFUSED_NETWORKS)


def read_address(text: str) -> Address | None:
    """The address of a resolver's answer; None for one that cannot be judged (a scope id, a host name)."""
    try:
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def vet_url(url: str, *, livemode: bool, allowed: Iterable[Network] = ()) -> Target:
    """Where `url` leads, when a webhook may be sent there; else InvalidInput with one of these codes.

    `invalid_url`: not an absolute http(s) URL, or one that two readers would read differently (userinfo, backslash,
    control characters). `refused_scheme`: not https in live mode. `refused_port`: not 443 or 8443 in live mode.
    `refused_address`: a literal address that is not globally routable, or a number that is not a canonical address.
    """
    parts = _split(url)
    if livemode and parts.scheme != "https":
        raise _refuse("refused_scheme", "live webhooks are sent over https only")
    port = _port(parts)
    if livemode and port not in LIVE_PORTS:
        raise _refuse("refused_port", "live webhooks are sent to port 443 or 8443 only")
    host = _host(parts)
    literal = read_address(host)
    if literal is None:
        _check_name(host)
    elif is_refused(literal, allowed):
        raise _refuse("refused_address", f"{literal} is not a globally routable address")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~")
    query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=~?')}" if parts.query else ""
    return Target(parts.scheme, host, port, path + query, literal)


def _refuse(code: str, message: str) -> InvalidInput:
    return InvalidInput(message, code=code, param="/url")


def _split(url: str) -> SplitResult:
    if len(url) > URL_LENGTH_MAX or _UNSAFE.search(url):
        raise _refuse("invalid_url", f"at most {URL_LENGTH_MAX} characters, without blanks, controls and backslashes")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _refuse("invalid_url", "not a URL") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.netloc:
        raise _refuse("invalid_url", "an absolute URL is wanted: https://host/path")
    if "@" in parts.netloc:
        raise _refuse("invalid_url", "no user name or password in the address; verify our signature instead")
    return parts


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise _refuse("invalid_url", "the port is not a number from 1 to 65535")
    return DEFAULT_PORTS[parts.scheme] if port is None else port


def _host(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    if ":" in host:
        if not isinstance(read_address(host), IPv6Address):
            raise _refuse("invalid_url", "not an IPv6 address")
        return host
    if _DEVIATING & set(host):
        raise _refuse("invalid_url", "this international name is ambiguous; write it in its ASCII form (xn--...)")
    try:
        host = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        raise _refuse("invalid_url", "not a host name") from None
    return host.lower().removesuffix(".")


def _check_name(host: str) -> None:
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refuse("invalid_url", "not a host name")
    if _NUMBER.fullmatch(labels[-1]):
        raise _refuse("refused_address", "an IPv4 address is written as four decimal numbers without leading zeros")
