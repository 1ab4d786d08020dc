"""The house keeps its arrows (DESIGN: triaged -> models <- training; cli -> daemon -> rooms -> store -> records).

An `ast` walk over every module of the three packages, imports inside functions included, those for the type checker
alone excluded. What has to hold at run time is also tried: a fresh interpreter imports the module and says what came
along.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
PACKAGES = ("triaged", "models", "training")
LONGEST_FILE = 600  # lines; what a newcomer still reads in one go
PURE = [
    *("triaged.intake.assembly", "triaged.intake.selection", "triaged.analysis.quality", "triaged.analysis.findings"),
    *("triaged.worklist.policy", "triaged.worklist.why", "triaged.results.seg", "triaged.results.sr"),
    *("triaged.results.picture", "triaged.results.codes", "triaged.records", "triaged.audit"),
]
ROOMS = ("intake", "analysis", "worklist", "results", "web")
# Rooms that a room may know. A study walks intake -> analysis -> worklist -> results; the web shows all of it. Intake
# gives a new study its place, and recognises results that come back.
NEIGHBOURS = {
    "intake": {"worklist", "results"},
    "analysis": {"intake", "worklist", "results"},
    "worklist": set[str](),
    "results": {"intake"},
    "web": {"worklist", "intake"},
}
ABOVE_THE_ROOMS = {"cli", "commands", "daemon", "demo", "demo_pacs", "checkup", "__main__"}
BELOW_THE_ROOMS = {"store", "records", "errors", "config", "clock", "audit"}
PRINTS = {"triaged.commands.terminal", "triaged.commands.research", "triaged.demo"}
SQL_WORDS = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE TABLE", "PRAGMA ", "BEGIN ")


@functools.cache
def modules() -> dict[str, Path]:
    """Every module of the three packages by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in (REPO / package).rglob("*.py"):
            parts = path.relative_to(REPO).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@functools.cache
def tree(name: str) -> ast.Module:
    return ast.parse(modules()[name].read_text(encoding="utf-8"))


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _statements(node: ast.AST, *, into_functions: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if _is_for_types(child):
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not into_functions:
            continue
        yield child
        yield from _statements(child, into_functions=into_functions)


@functools.cache
def imports(name: str, *, into_functions: bool = True) -> frozenset[str]:
    """Dotted names that a module imports; ours as modules, others by their first part."""
    found: set[str] = set()
    for node in _statements(tree(name), into_functions=into_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: a relative import"
            assert node.module is not None
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules() else node.module)
    return frozenset(part if part.split(".")[0] in PACKAGES else part.split(".")[0] for part in found)


@functools.cache
def reaches(name: str, *, with_packages: bool = True) -> frozenset[str]:
    """Everything that comes along when a module is imported: what it names, and the packages around that."""
    seen: set[str] = set()
    todo = [name]
    while todo:
        module = todo.pop()
        if module in seen:
            continue
        seen.add(module)
        if module in modules():
            todo += imports(module, into_functions=False)
            todo += [module.rpartition(".")[0]] if with_packages and "." in module else []
    return frozenset(seen - {name})


def _room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _ours(module: str) -> set[str]:
    return {other for other in imports(module) if other.startswith("triaged.")}


def test_the_walk_sees_what_is_there() -> None:
    """The tests below say nothing if the walk finds nothing."""
    assert len(modules()) > 60
    assert "triaged.worklist.policy" in imports("triaged.worklist.board")
    assert "sqlite_utils" in reaches("triaged.worklist.board")
    assert "torch" not in reaches("triaged.worklist.policy")


def test_models_know_neither_the_daemon_nor_the_training() -> None:
    bad = {
        m: i for m in modules() for i in imports(m) if m.startswith("models") and i.startswith(("triaged", "training"))
    }
    assert bad == {}


def test_training_does_not_know_the_daemon() -> None:
    assert {m: i for m in modules() for i in imports(m) if m.startswith("training") and i.startswith("triaged")} == {}


def test_only_a_command_knows_the_training_and_only_inside_itself() -> None:
    knows = {m for m in modules() if m.startswith("triaged") and any(i.startswith("training") for i in imports(m))}
    assert {_room(m) for m in knows} <= {"demo", "commands"}
    for module in knows & {"triaged.commands.research"}:
        assert not any(i.startswith("training") for i in imports(module, into_functions=False))


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_know_their_neighbours_only(room: str) -> None:
    bad = {
        (module, other)
        for module in modules()
        if module.startswith("triaged.") and _room(module) == room
        for other in _ours(module)
        if _room(other) in ABOVE_THE_ROOMS or (_room(other) in ROOMS and _room(other) not in {room, *NEIGHBOURS[room]})
    }
    assert bad == set()


def test_what_lies_below_the_rooms_knows_none_of_them() -> None:
    bad = {
        (module, other)
        for module in modules()
        if module.startswith("triaged.") and _room(module) in BELOW_THE_ROOMS
        for other in _ours(module)
        if _room(other) not in BELOW_THE_ROOMS
    }
    assert bad == set()


def test_no_module_needs_itself_to_load() -> None:
    circles = {
        name
        for name in modules()
        for other in reaches(name, with_packages=False) & set(modules())
        if name in reaches(other, with_packages=False)
    }
    assert circles == set()


@pytest.mark.parametrize("module", PURE)
def test_pure_rooms_do_no_io(module: str) -> None:
    along = reaches(module)
    assert not [other for other in along if other.startswith("triaged.store")]
    assert not along & {"sqlite3", "sqlite_utils", "pynetdicom", "fastapi"}
    assert not imports(module) & {"time", "triaged.store", "os", "socket", "subprocess"}


@pytest.mark.parametrize("room", ["intake", "web"])
def test_intake_and_web_never_load_torch(room: str) -> None:
    """The reach counts imports inside their own functions too: a request must not load a gigabyte."""
    mine = {module for module in modules() if module.startswith("triaged.") and _room(module) == room}
    along = set().union(*(imports(m) | reaches(m) for m in mine), *(reaches(i) for m in mine for i in imports(m)))
    assert not along & {"torch", "highdicom", "SimpleITK"}


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("models", {"torch", "pydicom", "scipy"}),
        ("models.cards", {"torch"}),
        ("models.zoo", {"torch"}),
        ("triaged.cli", {"torch", "highdicom", "fastapi", "pynetdicom", "scipy"}),
        ("triaged.intake.listener", {"torch", "highdicom", "scipy"}),
        ("triaged.web.app", {"torch", "highdicom", "scipy"}),
        ("triaged.worklist.board", {"torch", "highdicom", "scipy", "pydicom"}),
        ("triaged.daemon", {"torch", "scipy", "SimpleITK"}),
        ("triaged.analysis.analyst", {"torch", "sklearn"}),
    ],
)
def test_import_brings_nothing_heavy_along(module: str, absent: set[str]) -> None:
    program = f"import sys, {module}; print(*sorted(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPO, check=True)
    assert not set(ran.stdout.split()) & absent


def test_only_the_command_line_prints() -> None:
    prints = {
        name
        for name in modules()
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert {name for name in prints if name.startswith(("triaged", "models"))} <= PRINTS


def test_sql_lives_in_the_store() -> None:
    bad = {
        name
        for name in modules()
        if not name.startswith("triaged.store")
        for node in ast.walk(tree(name))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.lstrip().startswith(SQL_WORDS)
    }
    assert bad == set()


def test_files_are_short() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in modules().items()}
    assert {name: n for name, n in lengths.items() if n >= LONGEST_FILE} == {}


def test_nothing_is_pickled() -> None:
    """Weights and arrays come from elsewhere: a pickle would run what is in them."""
    for name in modules():
        assert not imports(name) & {"pickle", "dill", "joblib", "cloudpickle"}, name
        for node in ast.walk(tree(name)):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
                assert isinstance(node.value, ast.Constant), name
                assert node.value.value is False, name
