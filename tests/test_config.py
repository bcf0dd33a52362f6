"""Settings: read once, checked, and errors that name the setting."""

import base64
from pathlib import Path

import pytest

from tests.simulated import SimIds
from tongbao.bootstrap import build
from tongbao.config import data_dir, master_keys, read_settings
from tongbao.domain.errors import Misconfigured
from tongbao.storage.database import Database

KEK = base64.b64encode(bytes(range(32))).decode()
LIVE = {"TONGBAO_MODE": "live", "TONGBAO_BASE_URL": "https://pay.example", "TONGBAO_MASTER_KEY": KEK}


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "tongbao.toml"
    file.write_text('port = 9001\nlog_level = "debug"\nwebhook_allowed_networks = ["10.0.0.0/8"]\n')
    settings = read_settings({"TONGBAO_CONFIG": str(file), "TONGBAO_PORT": "9002"})
    assert (settings.port, settings.log_level, settings.host) == (9002, "debug", "127.0.0.1")
    assert settings.webhook_allowed_networks == ("10.0.0.0/8",)
    assert settings.public_url == "http://127.0.0.1:9002"


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"TONGBAO_PORT": "99999"}, "port"),
        ({"TONGBAO_PORT": "many"}, "port"),
        ({"TONGBAO_MODE": "production"}, "mode"),
        ({"TONGBAO_WEBHOOK_ALLOWED_NETWORKS": "10.0.0.1/8"}, "webhook_allowed_networks"),
        ({"TONGBAO_TRUSTED_PROXIES": "10.0.0.1,nginx"}, "trusted_proxies"),
        ({"TONGBAO_CONFIG": "/nonexistent.toml"}, "TONGBAO_CONFIG"),
        ({"TONGBAO_MODE": "live"}, "TONGBAO_MASTER_KEY"),
        ({**LIVE, "TONGBAO_BASE_URL": "http://pay.example"}, "TONGBAO_BASE_URL"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], named: str) -> None:
    with pytest.raises(Misconfigured, match=named):
        read_settings(environ)


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tongbao.toml"
    file.write_text("colour = 1\n")
    with pytest.raises(Misconfigured, match="colour"):
        read_settings({"TONGBAO_CONFIG": str(file)})


@pytest.mark.parametrize("text", ["nonsense!", base64.b64encode(b"short").decode()])
def test_a_wrong_key_encryption_key_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="key-encryption key"):
        master_keys(read_settings({"TONGBAO_MASTER_KEY": text}))


async def test_test_mode_makes_a_key_of_its_own_that_only_its_owner_reads(
    database: Database, tmp_path: Path, ids: SimIds
) -> None:
    settings = read_settings({}, data_dir=str(tmp_path))
    for _ in range(2):
        await (await build(settings, database=database, ids=ids)).close()
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600


async def test_another_key_encryption_key_does_not_open_the_stored_secrets(
    database: Database, tmp_path: Path, ids: SimIds
) -> None:
    await (await build(read_settings({}, data_dir=str(tmp_path)), database=database, ids=ids)).close()
    with pytest.raises(Misconfigured, match="key-encryption key"):
        await build(read_settings({"TONGBAO_MASTER_KEY": KEK}), database=database, ids=ids)


def test_the_data_lies_where_users_expect_it() -> None:
    assert data_dir({"TONGBAO_DATA_DIR": "/data"}) == Path("/data")
