"""The documents: their links lead somewhere, and what they list is what the code has.

`MINIBIT_WRITE_TRANSCRIPTS=1 pytest tests/test_docs.py` writes the list of rooms in docs/architecture.md anew.
"""

from __future__ import annotations

import ast
import os
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import yaml
from test_house import FLOORS, ROOMS, floor_of

import minibit
from minibit.cli.commands import COMMANDS
from minibit.messages import VERBS
from minibit.run.scenario import Arrivals, Fault, PeerClass
from minibit.sim import Scenario

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
KEPT = [*PAGES, *sorted(DOCS.rglob("*.svg")), *sorted((ROOT / "experiments").rglob("*.ipynb"))]

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")
SENTENCE = re.compile(r"^- \*\*P(\d+)\.\*\* (.+(?:\n  .+)*)", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
TOML = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"`((?:minibit|actors|experiments|tests|docs)/[\w/.-]*(?:\.\w+|/))(?:::(\w+))?`")
SCRIPT = re.compile(r"(?<!/)\bexperiments/[\w/]+\.(?:py|sh|toml|ipynb)")
COMMAND = re.compile(r"(?:^|`|&& |do )minibit ([a-z]\w*)", re.MULTILINE)
MACHINE_PATH = re.compile(r"(?<![\w.])(?:/(?:home|root|work|Users|opt|mnt|srv)/|/tmp/\w|[A-Z]:\\\\)")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def headings(page: Path) -> set[str]:
    """The anchors that a page has, as GitHub makes them."""
    lines = FENCE.sub("", page.read_text()).splitlines()
    titles = [line.lstrip("#").strip() for line in lines if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@cache
def functions_in(path: str) -> set[str]:
    if not (ROOT / path).exists():
        return set()
    nodes = ast.walk(ast.parse((ROOT / path).read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def sentences() -> list[tuple[int, str]]:
    return [(int(number), text) for number, text in SENTENCE.findall((DOCS / "protocol.md").read_text())]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_inside_the_repository_lead_somewhere(page: Path):
    broken = []
    for target in (one or other for one, other in LINK.findall(FENCE.sub("", page.read_text()))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        if not found.is_relative_to(ROOT) or not found.exists() or (anchor and anchor not in headings(found)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_and_tests_that_a_document_names_are_there(page: Path):
    assert [
        f"{path}::{test}" if test else path
        for path, test in PATH.findall(page.read_text())
        if not (ROOT / path).exists() or (test and test not in functions_in(path))
    ] == []
    assert [path for path in SCRIPT.findall(page.read_text()) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_that_a_document_names_are_subcommands(page: Path):
    assert [command for command in COMMAND.findall(page.read_text()) if command not in COMMANDS] == []


def test_the_readme_in_portuguese_has_every_part_every_command_and_every_pointer_of_the_other():
    english, portuguese = ((ROOT / page).read_text() for page in ("README.md", "README.pt.md"))
    assert FENCE.findall(portuguese) == FENCE.findall(english)
    parts = [FENCE.sub("", text).count("\n## ") for text in (english, portuguese)]
    rows = [
        [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| `")]
        for text in (english, portuguese)
    ]
    assert (parts[0], rows[0]) == (parts[1], rows[1])
    pointers = [
        [
            target.replace("notebooks/pt/", "notebooks/")
            for target, _ in LINK.findall(text)
            if not target.startswith(("#", "README"))
        ]
        for text in (english, portuguese)
    ]
    assert sorted(pointers[0]) == sorted(pointers[1])


@pytest.mark.parametrize("page", KEPT, ids=name)
def test_no_document_has_a_path_of_somebody_s_machine(page: Path):
    assert MACHINE_PATH.findall(page.read_text()) == []


def test_every_sentence_of_the_protocol_names_a_test_that_exists():
    assert [number for number, _ in sentences()] == list(range(1, len(sentences()) + 1))
    named = {number: TEST.findall(text) for number, text in sentences()}
    assert [number for number, tests in named.items() if not tests] == []
    assert [
        f"P{number}: {path}::{test}"
        for number, tests in named.items()
        for path, test in tests
        if not test.startswith("test_") or test not in functions_in(path)
    ] == []


def test_the_protocol_has_a_sentence_about_every_verb():
    told = " ".join(text for _, text in sentences())
    assert [verb for verb in VERBS if verb not in told] == []


def test_the_glossary_has_every_verb_and_no_other():
    rows = re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert rows == list(VERBS)


SCENARIOS = TOML.findall((DOCS / "simulation.md").read_text())


def test_the_scenarios_in_the_documents_show_every_key_every_fault_and_every_pattern():
    tables = [tomllib.loads(text) for text in SCENARIOS]
    shown = {
        Scenario: tables,
        PeerClass: [one for table in tables for one in table.get("classes", ())],
        Arrivals: [table["arrivals"] for table in tables if "arrivals" in table],
        Fault: [one for table in tables for one in table.get("faults", ())],
    }
    for kind, found in shown.items():
        keys = {field.encode_name for field in msgspec.structs.fields(kind)}
        assert keys == {key for one in found for key in one}
    for kind, key in ((Fault, "kind"), (Arrivals, "pattern")):
        (values,) = [field.type for field in msgspec.structs.fields(kind) if field.name == key]
        assert set(get_args(values)) == {one[key] for one in shown[kind]}


# the architecture


def folder_of(floor: str) -> str:
    """The folder of a floor, as the documents write it."""
    path = "minibit" if floor == "minibit (core)" else floor.replace(".", "/").removeprefix("minibit/actors")
    return f"{path}/" if path.startswith("minibit") else f"actors{path}/"


def test_the_architecture_says_of_every_floor_what_it_may_import():
    _, _, below = (DOCS / "architecture.md").read_text().partition("| floor |")
    rows = re.findall(r"^\| `([\w/]+/)` \|([^|]*)\|", below.split("\n\n")[0], re.MULTILINE)
    assert {floor: set(re.findall(r"`([\w/]+/)`", below)) for floor, below in rows} == {
        folder_of(floor): set(map(folder_of, below)) for floor, below in FLOORS.items()
    }


def first_sentence(path: Path) -> str:
    text = " ".join((ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].split())
    return re.split(r"(?<=[.?!]) (?=[A-Z`])", text)[0]


def every_room() -> str:
    """A heading for each folder, with what the folder is, and below it a row for each of its rooms."""
    folders: dict[Path, list[Path]] = {}
    for _, path in sorted(ROOMS.items(), key=lambda room: list(FLOORS).index(floor_of(room[0]))):
        folders.setdefault(path.parent, []).append(path)
    parts = []
    for folder, paths in folders.items():
        rooms = [f"| `{path.stem}` | {first_sentence(path)} |" for path in paths if not path.stem.startswith("__")]
        parts.append(f"### {name(folder)}/\n\n{first_sentence(folder / '__init__.py')}\n")
        parts.append("\n".join(["| room | |", "|---|---|", *rooms]) + "\n")
    return "\n".join(parts)


def test_the_architecture_lists_every_room_with_its_first_sentence():
    path = DOCS / "architecture.md"
    before, heading, rest = path.read_text().partition("\n## Every room\n")
    told, _, _ = rest.partition("\n### ")
    page = f"{before}{heading}{told}\n{every_room()}"
    if os.environ.get("MINIBIT_WRITE_TRANSCRIPTS"):
        path.write_text(page)
    assert path.read_text() == page, "the rooms have changed: write the list anew, see the top of this file"


def test_the_citation_says_what_the_package_says():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (cited["cff-version"], cited["type"], cited["title"].lower()) == ("1.2.0", "software", project["name"])
    assert (cited["version"], cited["license"]) == (minibit.__version__, project["license"])
    assert cited["abstract"].startswith(project["description"])
    authors = " and ".join(author["name"] for author in cited["authors"])
    assert f"Copyright (c) {authors}\n" in (ROOT / "LICENSE").read_text()
