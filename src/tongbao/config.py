"""Settings: read once, checked, frozen. Environment variables `TONGBAO_<NAME>` win over the TOML file named by
TONGBAO_CONFIG, which wins over the defaults. Every setting is described in docs/guides/operations.md.
"""

import base64
import binascii
import ipaddress
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from tongbao.domain.errors import Misconfigured

PREFIX = "TONGBAO_"
LISTS = ("webhook_allowed_networks", "trusted_proxies")
"""Settings that list networks; commas part them in a variable."""
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One process's configuration."""

    mode: Literal["test", "live"] = "test"
    """live refuses to start without a key-encryption key, and is needed for live apps"""
    data_dir: str = ""
    """where the embedded database, the test mode's keys and the sandbox's state lie; empty: the user's data folder"""
    database_url: str = ""
    """postgresql://...; empty: PostgreSQL from the wheel, started on demand"""
    host: str = "127.0.0.1"
    """address to listen on"""
    port: Port = 8000
    """port to listen on"""
    base_url: str = ""
    """the public address, as channels and buyers see it; empty: http://host:port"""
    master_key: str = ""
    """key-encryption keys, base64 of 32 bytes each, comma separated; the first one seals, all of them open"""
    master_key_file: str = ""
    """a file that holds them instead"""
    group_size_max: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 512
    """most commands of one group commit"""
    connections_max: Annotated[int, msgspec.Meta(ge=6, le=500)] = 16
    """most database connections of one process"""
    webhook_allowed_networks: tuple[str, ...] = ()
    """networks (CIDR) that webhooks may be sent to although they are not globally routable"""
    trusted_proxies: tuple[str, ...] = ()
    """addresses and networks of our own proxies: what they say in X-Forwarded-For of the buyer's address is believed"""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """least severity that is logged"""
    log_format: Literal["json", "text"] = "json"
    """one JSON object a line, or text for people"""

    @property
    def public_url(self) -> str:
        return (self.base_url or f"http://{self.host}:{self.port}").rstrip("/")

    @property
    def data_path(self) -> Path:
        return Path(self.data_dir).expanduser() if self.data_dir else data_dir()


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where this user's Tongbao keeps its data. For root it lies under /var/lib: the embedded PostgreSQL runs as a
    user of its own then, and must be able to reach its folder."""
    if environ.get("TONGBAO_DATA_DIR"):
        return Path(environ["TONGBAO_DATA_DIR"]).expanduser()
    if os.geteuid() == 0:
        return Path("/var/lib/tongbao")
    home = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "tongbao"


def read_settings(environ: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
    """Raises Misconfigured, naming the setting and what it takes."""
    values: dict[str, Any] = {}
    path = environ.get(PREFIX + "CONFIG")
    if path:
        values.update(_from_toml(Path(path)))
    for field in msgspec.structs.fields(Settings):
        text = environ.get(PREFIX + field.name.upper())
        if text is not None:
            values[field.name] = _split(text) if field.name in LISTS else text
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Misconfigured(f"a setting is wrong: {error}. See docs/guides/operations.md") from None
    _check(settings)
    return settings


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _from_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except OSError as error:
        raise Misconfigured(f"TONGBAO_CONFIG names {path}, which cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise Misconfigured(f"{path} is not TOML: {error}") from None


def _check(settings: Settings) -> None:
    for name in LISTS:
        for network in getattr(settings, name):
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise Misconfigured(f"{name}: {error}") from None
    if settings.mode == "live":
        if not settings.master_key and not settings.master_key_file:
            raise Misconfigured(
                "live mode needs a key-encryption key: set TONGBAO_MASTER_KEY or TONGBAO_MASTER_KEY_FILE "
                "(make one with: tongbao keys generate kek)"
            )
        if not settings.public_url.startswith("https://"):
            raise Misconfigured("live mode needs TONGBAO_BASE_URL, the public https:// address of this gateway")


def master_keys(settings: Settings) -> list[bytes] | None:
    """The configured key-encryption keys; None when there are none (test mode keeps one in a file of its own)."""
    text = settings.master_key
    if not text and settings.master_key_file:
        try:
            text = Path(settings.master_key_file).read_text()
        except OSError as error:
            raise Misconfigured(f"TONGBAO_MASTER_KEY_FILE cannot be read: {error.strerror}") from None
    if not text:
        return None
    return [_key(part) for part in _split(text.replace("\n", ","))]


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Misconfigured("a key-encryption key is not base64") from None
    if len(key) != 32:
        raise Misconfigured(f"a key-encryption key has 32 bytes, this one {len(key)}")
    return key
