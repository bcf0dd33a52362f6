"""`tongbao doctor wechatpay` on planted cases, against a sandbox in a process of its own: each cause has its name."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.cli.test_doctor import NOWHERE, Credentials, codes
from tests.scenarios.street import credentials_for
from tests.simulators.served import served
from tongbao.cli.entry import app

HEALTHY = {"apiv3_key_right": "ok", "keys_right": "ok"}


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with served(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox.accounts()


@pytest.fixture
def examined(tmp_path: Path) -> Callable[..., Result]:
    def run(credentials: object, *more: str) -> Result:
        path = tmp_path / "credentials.json"
        path.write_text(json.dumps(credentials))
        return CliRunner().invoke(app, ["doctor", "wechatpay", "--credentials", str(path), *more])

    return run


def without_public_key(good: Credentials) -> Credentials:
    return {name: value for name, value in good.items() if not name.startswith("public_key")}


CASES: dict[str, tuple[Callable[[Credentials, Any], Credentials], dict[str, str]]] = {
    "both trusts": (lambda good, told: good, HEALTHY),
    "platform certificates alone": (lambda good, told: without_public_key(good), HEALTHY),
    "another APIv3 key": (
        lambda good, told: {**good, "apiv3_key": "0" * 32},
        {"apiv3_key_wrong": "error", "keys_right": "ok"},
    ),
    "half an APIv3 key": (lambda good, told: {**good, "apiv3_key": "0" * 16}, {"apiv3_key_wrong": "error"}),
    "another serial": (
        lambda good, told: {**good, "merchant_serial": "7" * 40},
        {"merchant_serial_wrong": "error"},
    ),
    "the public key of another merchant": (
        lambda good, told: {**good, "public_key": told["public_key_only"]["public_key"]},
        {"public_key_wrong": "error"},
    ),
    "a merchant who has the public key alone, without it": (
        lambda good, told: {
            **without_public_key(good),
            **{name: told["public_key_only"][name] for name in without_public_key(good)},
        },
        {"public_key_missing": "error"},
    ),
    "nobody there": (lambda good, told: {**good, "gateway_url": NOWHERE}, {"gateway_unreachable": "error"}),
}


@pytest.mark.parametrize("case", CASES)
def test_each_cause_has_its_name(examined: Callable[..., Result], accounts: Any, case: str) -> None:
    plant, expected = CASES[case]
    planted = plant(credentials_for("wechatpay", accounts), accounts["wechatpay"])
    found = codes(examined(planted, "--format", "json"))
    assert found.items() >= expected.items(), found
    assert ("error" in found.values()) == ("error" in expected.values())


def test_no_secret_is_printed(examined: Callable[..., Result], accounts: Any) -> None:
    good = credentials_for("wechatpay", accounts)
    said = examined({**good, "merchant_serial": "7" * 40}).output
    assert good["apiv3_key"] not in said
    assert good["merchant_private_key"][100:160] not in said
