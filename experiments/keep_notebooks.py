"""Run notebooks from top to bottom, and keep their outputs for readers without a kernel.

    python experiments/keep_notebooks.py                    all of them
    python experiments/keep_notebooks.py rarest_first       only this one

Run it after a change of a notebook's code, or of anything that changes its outputs. The notebooks in Portuguese get the
code and the outputs of those in English, and keep their own text.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).parent / "notebooks"
IN_PORTUGUESE = FOLDER / "pt"
CELL_S = 240
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def paths() -> list[Path]:
    """The notebooks in English."""
    return sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> Any:
    """One notebook, checked."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def codes(notebook: Any) -> list[Any]:
    """Its cells with code."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run(notebook: Any, folder: Path) -> None:
    """Run it in a kernel that works in this folder, without the user's settings; its outputs change in place."""
    own = {name: str(folder / name.lower()) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR")}
    client = NotebookClient(
        notebook,
        timeout=CELL_S,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute(env={**os.environ, **own})


def keep(path: Path) -> None:
    """Run the notebook, and write it and its Portuguese sister with the outputs."""
    notebook = read(path)
    with tempfile.TemporaryDirectory(prefix="minibit-notebook-") as folder:
        try:
            run(notebook, Path(folder))
        except CellExecutionError as error:
            sys.exit(f"{path.name} stays as it was: {error}")
    write(notebook, path)
    sister = read(IN_PORTUGUESE / path.name)
    shown = codes(notebook)
    if len(codes(sister)) != len(shown):
        sys.exit(f"{path.name}: {len(shown)} cells of code, and {len(codes(sister))} in Portuguese: give it as many")
    for cell, theirs in zip(codes(sister), shown, strict=True):
        cell.update(source=theirs.source, outputs=theirs.outputs, execution_count=theirs.execution_count)
    write(sister, IN_PORTUGUESE / path.name)


def write(notebook: Any, path: Path) -> None:
    """Write it without anything that differs between machines."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = nbformat.from_dict({})
    nbformat.write(notebook, path)


def main() -> None:
    """Keep all, or those that are named."""
    known = {path.stem: path for path in paths()}
    for name in sys.argv[1:] or known:
        if name not in known:
            sys.exit(f"there is no notebook {name}: there are {', '.join(known)}")
        keep(known[name])


if __name__ == "__main__":
    main()
