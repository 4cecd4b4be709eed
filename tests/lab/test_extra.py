"""Without the extra `lab`, what needs it says what to install, and all else works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minibit.lab.extra import LAB, ExtraError, installed

ROOT = Path(__file__).parents[2]

WITHOUT = """
import sys
for name in {lacking!r}:
    sys.modules[name] = None
import minibit
from minibit.actors.driver import live, tables
from minibit.errors import MinibitError

def run():
    from minibit.lab.run import Run
    return Run({{}}, {{}})

for use in ({uses}):
    try:
        use()
    except MinibitError as error:
        print(error.exit_code, error)
"""


@pytest.mark.parametrize(
    ("lacking", "uses"),
    [
        (
            ["polars", "bokeh"],
            [
                *("minibit.load('x')", "minibit.simulate(peers=1, size='16KiB')"),
                *("tables.peers({})", "tables.blocks({})", "tables.links({})", "tables.mailboxes({})"),
            ],
        ),
        (["bokeh"], ["run().plot", "run().report('x')", "live.make_ready()"]),
    ],
)
def test_what_needs_the_extra_says_so(lacking: list[str], uses: list[str]):
    program = WITHOUT.format(lacking=lacking, uses=", ".join(f"lambda: {use}" for use in uses) + ",")
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"1 it needs {lacking[0]}: pip install 'minibit[lab]'"] * len(uses)


def test_any_other_package_that_is_missing_is_no_matter_of_the_extra():
    with pytest.raises(ModuleNotFoundError) as raised, installed():
        import no_such_package  # noqa: F401, PLC0415
    assert not isinstance(raised.value, ExtraError)
    assert {"polars", "bokeh"} <= LAB
