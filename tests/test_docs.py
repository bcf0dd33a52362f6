"""The documents are complete and true: what is listed somewhere in the code is described somewhere in the docs."""

import ast
import re
import runpy
from importlib import import_module
from pathlib import Path

import msgspec
import pytest
import typer
from typer.core import TyperGroup

from tongbao.cli import entry
from tongbao.config import Settings
from tongbao.domain.webhook import WebhookError
from tongbao.ports import ChannelKind

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "src" / "tongbao"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def test_the_diagrams_are_the_tables() -> None:
    script = runpy.run_path(str(DOCS / "lifecycles.py"))
    page = (DOCS / "architecture.md").read_text("utf-8")
    assert script["printed"](page) == page, "a lifecycle changed: run `python docs/lifecycles.py`"
    assert set(re.findall(r"<!-- lifecycle: (\w+) -->", page)) == set(script["DIAGRAMS"]), "each table has a diagram"


def test_the_index_lists_every_decision_once_and_in_order() -> None:
    index = (DOCS / "decisions" / "README.md").read_text("utf-8")
    listed = re.findall(r"^\| (\d+) \| \[(.+)\]\((\d{4}-[\w-]+\.md)\) \|$", index, re.MULTILINE)
    files = sorted(path.name for path in (DOCS / "decisions").glob("[0-9]*.md"))
    assert [name for _, _, name in listed] == files, "a decision is listed in docs/decisions/README.md, in order"
    for number, title, name in listed:
        first, *_ = (DOCS / "decisions" / name).read_text("utf-8").splitlines()
        assert first == f"# {number}. {title}", f"{name}: number and title are those of the index"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text("utf-8")) if "://" not in target]
    dead = [target for target in targets if not (page.parent / target).exists()]
    assert not dead, f"{page.name} links to what is not there: {dead}"


def test_the_glossary_is_sorted_into_words_that_mean_one_thing() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)
    words = [word for word, _, _ in rows]
    assert len(words) == len(set(words)), "one word, one row"


def spoken_codes() -> dict[str, str]:
    """Every error code that the source can answer with -> where it stands. The sandbox speaks the channels' codes."""
    found = {str(code): "domain/webhook.py: WebhookError" for code in WebhookError}
    for path in sorted(PACKAGE.rglob("*.py")):
        if "simulators" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call):
                values = [word.value for word in node.keywords if word.arg == "code"]
            elif isinstance(node, ast.ClassDef):
                assigned = [item for item in node.body if isinstance(item, ast.Assign)]
                values = [item.value for item in assigned if "code" in map(ast.unparse, item.targets)]
            for value in values:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found[value.value] = f"{path.relative_to(ROOT)}:{value.lineno}"
    return found


def test_every_error_code_is_documented_and_none_besides() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", (DOCS / "errors.md").read_text("utf-8"), re.MULTILINE)
    assert len(documented) == len(set(documented)), "a code stands once"
    spoken = spoken_codes()
    missing = {code: place for code, place in spoken.items() if code not in documented}
    assert not missing, f"docs/errors.md tells people what to do next; it lacks {missing}"
    gone = set(documented) - spoken.keys()
    assert not gone, f"docs/errors.md describes codes that nothing answers with: {gone}"


def channel_kinds() -> list[ChannelKind]:
    """What each channel's adapter says of itself."""
    names = [f"tongbao.channels.{path.parent.name}.adapter" for path in PACKAGE.glob("channels/*/adapter.py")]
    return [kind for name in names for kind in vars(import_module(name)).values() if isinstance(kind, ChannelKind)]


def test_every_method_and_credential_of_a_channel_is_documented() -> None:
    page = (DOCS / "guides" / "channels.md").read_text("utf-8")
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \| (yes|no) \| (yes|no) \|", page, re.MULTILINE)
    kinds = channel_kinds()
    assert kinds, "this test has lost sight of the channels"
    methods = {method for kind in kinds for method in kind.capabilities.methods}
    credentials = {field.name: (field.secret, field.required) for kind in kinds for field in kind.credentials}
    assert set(listed) == methods | credentials.keys()
    assert {name: (secret == "yes", required == "yes") for name, secret, required in rows} == credentials


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_readme_s_table_of_channels_is_honest(page: str) -> None:
    table = re.findall(r"^\| \S.* \|.* \|.* \|.* \|$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    claimed = {method for row in table for method in re.findall(r"`([a-z]+_[a-z0-9_]+)`", row)}
    assert claimed == {method for kind in channel_kinds() for method in kind.capabilities.methods}


def test_every_setting_is_documented_with_its_default() -> None:
    page = (DOCS / "guides" / "operations.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `TONGBAO_(\w+)` \| (?:`([^`]+)`|-) \|", page, re.MULTILINE))
    defaults = {field.name.upper(): field.default for field in msgspec.structs.fields(Settings)}
    assert documented == {name: str(default) if default else "" for name, default in defaults.items()}, (
        "docs/guides/operations.md lists each setting once, with the default that config.py gives it"
    )


def test_every_command_in_the_docs_exists() -> None:
    root = typer.main.get_command(entry.app)
    unknown = []
    for page in PAGES:
        text = "\n".join(re.findall(r"```\n.*?```|`[^`\n]+`", page.read_text("utf-8"), re.DOTALL))
        for line in re.findall(r"(?:^|[`/ ])tongbao ((?:[a-z][a-z-]*[ `\n])+)", text):
            command: object = root
            for word in re.findall(r"[a-z-]+", line):
                if not isinstance(command, TyperGroup):
                    break
                if (command := command.commands.get(word)) is None:
                    unknown.append(f"{page.name}: tongbao {line.strip(' `')}")
    assert not unknown, f"these commands do not exist: {unknown}"
