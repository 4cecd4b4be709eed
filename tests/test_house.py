"""The rules of the house: who may import whom, no clock and no global chance in the core, rooms that stay small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from functools import cache
from pathlib import Path

import pytest

from minibit.life import STEPS, Life
from minibit.messages import PeerAddress
from minibit.neighbour import MOVES, OWNERS, Neighbour, Standing

ROOT = Path(__file__).parent.parent

LINES_MAX = 400

WHO_MAX = 1.0
"""Of a thousand words in docstrings and comments, those that are a person's pronoun. It may only fall."""

CLOCKS = {"time", "datetime", "sched"}
CHANCE = {"secrets", "uuid"}
THREADS = {"threading", "asyncio", "concurrent", "multiprocessing", "subprocess", "signal", "uvloop", "ray"}
DEVICES = {"socket", "select", "selectors", "ssl", "http", "urllib", "os", "io", "mmap", "shutil", "tempfile", "glob"}
OTHERS = {"experiments", "polars", "bokeh", "rich", "click", "matplotlib", "numpy"}
IMPURE = CLOCKS | CHANCE | THREADS | DEVICES | OTHERS

HEAVY = {"polars", "bokeh", "rich", "click", "matplotlib", "pandas", "IPython"}

FACE = "minibit"
"""The package itself: it leads to everything, and only when it is asked."""

DOORS = {FACE, "minibit.__main__", "minibit.compiled"}
"""The rooms of the package by which it is imported: they are on no floor."""

FLOORS: dict[str, set[str]] = {
    "minibit (core)": set(),
    "minibit.wire": {"minibit (core)"},
    "minibit.run": {"minibit (core)"},
    "minibit.delivery": {"minibit (core)", "minibit.run"},
    "minibit.sim": {"minibit (core)", "minibit.wire", "minibit.run"},
    "minibit.lab": {"minibit (core)", "minibit.run", "minibit.delivery"},
    "minibit.actors": {"minibit (core)", "minibit.wire", "minibit.actors.links", "minibit.actors.disk"},
    "minibit.actors.links": {"minibit (core)", "minibit.wire"},
    "minibit.actors.disk": {"minibit (core)"},
    "minibit.actors.driver": {
        "minibit (core)",
        "minibit.run",
        "minibit.delivery",
        "minibit.lab",
        "minibit.actors",
        "minibit.actors.disk",
    },
    "minibit.compare": {"minibit (core)", "minibit.run", "minibit.sim", "minibit.lab", "minibit.actors.driver"},
    "minibit.cli": {
        "minibit (core)",
        "minibit.run",
        "minibit.delivery",
        "minibit.sim",
        "minibit.lab",
        "minibit.compare",
        "minibit.actors.disk",
        "minibit.actors.driver",
    },
}
"""Each floor, and the floors that its rooms may import beside their own. Nothing else, and nobody imports `cli`."""


def room_of(path: Path) -> str:
    """The dotted name of a room; `actors/` at the top of the repository is `minibit.actors`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = ("minibit", *parts) if parts[0] == "actors" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


ROOMS = {
    room_of(path): path
    for folder in ("minibit", "actors")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not path.is_relative_to(ROOT / "minibit" / "actors")  # the link to actors/
}
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.py"))


def floor_of(room: str) -> str:
    """The floor that a room is on."""
    found = [floor for floor in FLOORS if room == floor or room.startswith(f"{floor}.")]
    return max(found, key=len, default="minibit (core)")


def on(*floors: str) -> list[Path]:
    return [path for room, path in ROOMS.items() if floor_of(room) in floors and room not in DOORS]


PURE = on("minibit (core)", "minibit.wire", "minibit.run", "minibit.delivery")


@cache
def imports(path: Path) -> list[tuple[str, str, bool]]:
    """Every import in the file as (module, name, whether it is done when the room is); name "" is a whole module."""
    tree = ast.parse(path.read_text())
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    lazy = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        at_once = node not in typing and node not in lazy
        if isinstance(node, ast.Import):
            found += [(alias.name, "", at_once) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            found += [(node.module or "", alias.name, at_once) for alias in node.names]
    return found


def rooms_imported(path: Path, *, at_once: bool = False) -> Iterator[str]:
    """The rooms that a file imports: all, or those that are imported with it."""
    for module, name, early in imports(path):
        if early or not at_once:
            room = f"{module}.{name}" if f"{module}.{name}" in ROOMS else module
            if room in ROOMS:
                yield room


def offenders(paths: list[Path], forbidden: set[str]) -> list[str]:
    """The imports in `paths` of a forbidden module, or of anything in it."""
    return [
        f"{path.relative_to(ROOT)} imports {module} {name}".strip()
        for path in paths
        for module, name, _ in imports(path)
        if any(f"{module}.{name}.".startswith(f"{one}.") for one in forbidden)
    ]


def test_the_core_knows_no_clock_no_thread_no_device_and_nobody_outside():
    assert offenders(PURE, IMPURE) == []


def test_the_core_knows_paths_as_text_only():
    assert [
        f"{path.relative_to(ROOT)}: {name or module}"
        for path in PURE
        for module, name, _ in imports(path)
        if module == "pathlib" and name not in {"PurePath", "PurePosixPath"}
    ] == []


# a state is an Enum, and its moves are a table


def flags(source: str) -> list[str]:
    """The attributes of `self` that a class sets to True in one method and to False in another: a state in disguise."""
    values: dict[str, set[tuple[str, bool]]] = {}
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in ast.walk(function):
                match node:
                    case ast.Assign(targets=targets, value=ast.Constant(value=bool(value))):
                        for target in targets:
                            if isinstance(target, ast.Attribute):
                                values.setdefault(target.attr, set()).add((function.name, value))
    return sorted(name for name, seen in values.items() if len({value for _, value in seen}) == 2)


def test_the_core_keeps_no_state_in_flags():
    core = {path.stem: path.read_text() for path in on("minibit (core)")}
    assert {room: found for room, source in core.items() if (found := flags(source))} == {}


def test_a_flag_is_noticed():
    source = "class Peer:\n def __init__(self): self.left = False\n def go(self): self.left = True\n"
    assert flags(source) == ["left"]
    assert flags(source.replace("self.left = True", "self.left = self.life.gone")) == []


@pytest.mark.parametrize(("table", "first"), [(MOVES, Standing.KNOWN), (STEPS, Life.NEW)], ids=["standing", "life"])
def test_every_state_of_a_table_is_an_enum_value_that_can_be_reached(
    table: dict[tuple[Enum, object], Enum], first: Enum
):
    reached = {first}
    for _ in table:
        reached |= {after for (before, _), after in table.items() if before in reached}
    assert reached == set(type(first))


# whose a slot of a neighbour is

CHANGING = {"add", "append", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "reverse"}
CHANGING |= {"setdefault", "sort", "update", "__delitem__", "__setitem__", "__setattr__", "__delattr__"}


def changes(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every attribute of another object than `self` that a file changes, or lends to be changed: (attribute, line)."""
    for node in ast.walk(tree):
        changed: list[ast.expr] = []
        match node:
            case ast.Attribute(ctx=ast.Store() | ast.Del()):
                changed = [node]
            case ast.Subscript(value=value, ctx=ast.Store() | ast.Del()):
                changed = [value]
            case ast.Call(func=ast.Attribute(value=value, attr=verb)) if verb in CHANGING:
                changed = [value]
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[_, ast.Constant(value=str(attribute)), *_]):
                yield attribute, node.lineno
            case ast.Assign(value=value) | ast.AnnAssign(value=value) | ast.NamedExpr(value=value):
                changed = [one for one in ast.walk(value) if _is_lent(one, value)] if value is not None else []
        for one in changed:
            if isinstance(one, ast.Attribute) and not (isinstance(one.value, ast.Name) and one.value.id == "self"):
                yield one.attr, node.lineno


def _is_lent(node: ast.AST, value: ast.expr) -> bool:
    """Whether a name that is given to `value` is another name of that container, or one of several."""
    among = value.elts if isinstance(value, ast.Tuple | ast.List) else [value]
    return node in among and isinstance(node, ast.Attribute) and node.attr in CONTAINERS


CONTAINERS = {
    slot
    for slot in Neighbour.__slots__
    if not isinstance(getattr(Neighbour(PeerAddress("ana", "h", 1), 1.0), slot), int | float | str | None | Enum)
} - {"address"}
ROOM_OF = {slot: room for room, slots in OWNERS.items() for slot in slots}


def foreign(room: str, source: str) -> list[str]:
    """The slots of neighbours that this room of the core changes though they are another's."""
    return [
        f"{room}, line {line}: {slot}, of {ROOM_OF[slot]}"
        for slot, line in changes(ast.parse(source))
        if slot in ROOM_OF and ROOM_OF[slot] != room
    ]


def test_a_slot_of_a_neighbour_is_changed_by_the_room_that_owns_it_only():
    assert ROOM_OF.keys() == set(Neighbour.__slots__) and len(ROOM_OF) == sum(map(len, OWNERS.values()))
    assert OWNERS.keys() <= {path.stem for path in on("minibit (core)")}
    core = {path.stem: path.read_text() for path in on("minibit (core)")}
    assert [wrong for room, source in core.items() for wrong in foreign(room, source)] == []


@pytest.mark.parametrize(
    "planted",
    [
        "neighbour.late = 0",
        "neighbour.late |= 1 << block",
        "neighbour.late, other = 0, 1",
        "for neighbour.late in (1, 2): pass",
        "with thing as neighbour.late: pass",
        "self.up[peer].late ^= 1",
        "peers()[0].late: int = 3",
        "del neighbour.asked[block]",
        "del neighbour.late",
        "neighbour.asked[block] = now",
        "neighbour.asked.pop(block, None)",
        "neighbour.wanted.append(block)",
        "neighbour.wanted.clear()",
        "neighbour.gave.add(9, now)",
        "setattr(neighbour, 'late', 0)",
        "asked = neighbour.asked",
        "asked, more = neighbour.asked, 1",
        "if (asked := neighbour.asked): pass",
    ],
)
def test_a_change_of_a_slot_by_another_room_is_noticed(planted: str):
    source = f"def verb(self, neighbour):\n    {planted}\n"
    assert foreign("choker", source)
    slot = next(slot for slot in ROOM_OF if f".{slot}" in planted or f"'{slot}'" in planted)
    assert foreign(ROOM_OF[slot], source) == []


@pytest.mark.parametrize(
    "innocent",
    ["late = neighbour.late | 1", "self.late |= 1", "if neighbour.asked: pass", "blocks = list(neighbour.wanted)"],
)
def test_reading_a_slot_is_anybodys(innocent: str):
    assert foreign("choker", f"def verb(self, neighbour):\n    {innocent}\n") == []


def test_the_core_opens_no_file_and_prints_nothing():
    assert [
        f"{path.relative_to(ROOT)}: {node.func.id}"
        for path in PURE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"open", "print", "input"}
    ] == []


def test_chance_in_the_core_is_a_generator_of_ones_own():
    assert [
        f"{path.relative_to(ROOT)} imports {module} {name}".strip()
        for path in PURE + on("minibit.sim")
        for module, name, _ in imports(path)
        if module == "random" and name != "Random"
    ] == []


@pytest.mark.parametrize("floor", FLOORS)
def test_a_floor_imports_only_the_floors_below_it(floor: str):
    allowed = {floor, *FLOORS[floor]}
    assert [
        f"{path.relative_to(ROOT)} imports {room}"
        for path in on(floor)
        for room in rooms_imported(path)
        if floor_of(room) not in allowed
        and (path, room) != (ROOMS["minibit.actors"], "minibit.actors.driver.swarm")  # the lazy face
    ] == []


def test_the_lab_knows_neither_ray_nor_a_world():
    assert offenders(on("minibit.lab"), {"minibit.actors", "ray", "minibit.sim"}) == []


def test_the_folder_actors_has_one_name_which_nobody_s_own_folder_can_hide():
    assert offenders([*ROOMS.values(), *EXPERIMENTS], {"actors"}) == []
    assert (ROOT / "minibit" / "actors").readlink() == Path("../actors")


def test_nothing_imports_experiments():
    names = {path.stem for path in EXPERIMENTS if path.parent.name == "experiments"} | {"experiments", "checks"}
    assert offenders(list(ROOMS.values()), names) == []


def test_no_room_imports_itself_through_others():
    below = {room: set(rooms_imported(path, at_once=True)) for room, path in ROOMS.items()}
    while True:
        imported = {one for room, found in below.items() for one in found if one != room}
        ends = [room for room, found in below.items() if room not in imported or not found & below.keys() - {room}]
        if not ends:
            break
        for room in ends:
            del below[room]
    assert below == {}


def loaded_by(*rooms: str) -> list[str]:
    """The modules of a new process that imports these rooms."""
    program = f"import {', '.join(rooms)}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_peers_process_loads_these_rooms_and_no_more():
    """Each is paid once a peer: think twice before this list grows."""
    modules = loaded_by("minibit.actors.peer", "minibit.actors.tracker")
    assert sorted(HEAVY & set(modules)) == []
    assert sorted(room.removeprefix("minibit.") for room in modules if room in ROOMS and room != FACE) == [
        *("actors", "actors.disk", "actors.disk.blocks", "actors.disk.files", "actors.disk.lock", "actors.disk.marks"),
        *("actors.disk.place", "actors.disk.pushed", "actors.disk.scratch", "actors.disk.source", "actors.disk.store"),
        *("actors.disk.swap", "actors.disk.tree", "actors.errands", "actors.links"),
        *("actors.links.face", "actors.links.gate", "actors.links.link", "actors.links.outbox", "actors.links.pairs"),
        *("actors.links.pool", "actors.links.state", "actors.names", "actors.node", "actors.peer", "actors.post"),
        *("actors.tracker", "announcer", "availability", "behaviour", "choker", "contacts", "content", "errors"),
        *("events", "exchange", "inventory", "life", "line", "mailbox", "manifest", "membership", "messages"),
        *("neighbour", "peer", "picker", "pipeline"),
        *(
            "rate",
            "records",
            "rules",
            "seat",
            "snapshots",
            "strategies",
            "timers",
            "tracker",
            "units",
            "uploads",
            "wire",
        ),
        *("wire.carriage", "wire.frame", "wire.greeting", "wire.seal"),
    ]


def test_the_pure_rooms_are_light():
    assert sorted(HEAVY & set(loaded_by(*(room for room, path in ROOMS.items() if path in PURE)))) == []


def test_the_figures_of_a_run_in_words_need_nothing_heavy():
    program = "import minibit.lab.words, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert sorted(HEAVY & set(loaded.stdout.split())) == []


def test_rooms_stay_small():
    paths = [*ROOMS.values(), *EXPERIMENTS]
    sizes = {path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines()) for path in paths}
    assert {name: lines for name, lines in sizes.items() if lines > LINES_MAX} == {}


def test_every_room_opens_with_what_it_is():
    assert [
        path.relative_to(ROOT).as_posix()
        for path in [*ROOMS.values(), *EXPERIMENTS]
        if (source := path.read_text().strip()) and not ast.get_docstring(ast.parse(source))
    ] == []


def test_every_public_class_and_function_says_what_it_is():
    assert [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in ROOMS.values()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ] == []


def test_no_two_classes_share_a_name():
    counts = Counter(
        node.name
        for path in [*ROOMS.values(), *EXPERIMENTS]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert {name: count for name, count in counts.items() if count > 1} == {}


def prose(path: Path) -> Iterator[str]:
    """The docstrings of a file, those of constants included, and its comments."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    with path.open("rb") as file:
        yield from (token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT)


def test_docstrings_and_comments_name_the_peer_instead_of_asking_who():
    words = [
        word
        for path in [*ROOMS.values(), *EXPERIMENTS]
        for text in prose(path)
        for word in re.findall(r"[a-z']+", text.lower())
    ]
    asked = [word for word in words if word in {"who", "whom", "whoever"}]
    assert 1000 * len(asked) / len(words) <= WHO_MAX


def test_no_message_that_a_program_may_see_names_an_option_as_the_command_line_does():
    assert [
        f"{path.relative_to(ROOT)}: {node.value}"
        for path in on(*FLOORS.keys() - {"minibit.compare", "minibit.cli"})
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.search(r"(?<!ray start )(?<!var\()--[a-z][\w-]*(?![\w:-])", node.value)  # but a style has --names: too
        if node.value not in prose(path)
    ] == []
