"""Strategies travel by value with all of somebody's own that they use, to a process that has none of it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from ray import cloudpickle

from minibit.actors.driver.shipping import shipped
from minibit.rules import Rules
from minibit.seat import Seat

PICKER = """
from minibit.picker import Picker

class Mine(Picker):
    def pick(self, choices, availability):
        return {answer}
"""

PROJECTS = {
    "a module alone": {"mine.py": PICKER.format(answer=7)},
    "a neighbour's function": {
        "mine.py": "from helper import seven\n" + PICKER.format(answer="seven()"),
        "helper.py": "def seven(): return 7\n",
    },
    "a neighbour as a module": {
        "mine.py": "import helper\n" + PICKER.format(answer="helper.seven()"),
        "helper.py": "import math\ndef seven(): return math.floor(7.5)\n",
    },
    "a neighbour's neighbour": {
        "mine.py": "from helper import seven\n" + PICKER.format(answer="seven()"),
        "helper.py": "import further\ndef seven(): return further.SEVEN\n",
        "further.py": "SEVEN = 7\n",
    },
    "a base class of a neighbour's": {
        "mine.py": "from helper import Base\nclass Mine(Base): pass\n",
        "helper.py": PICKER.format(answer=7).replace("Mine", "Base"),
    },
    "a package": {
        "mine/__init__.py": "from mine.inner.picker import Mine\n",
        "mine/inner/__init__.py": "",
        "mine/inner/picker.py": "from ..numbers import seven\n" + PICKER.format(answer="seven()"),
        "mine/numbers.py": "def seven(): return 7\n",
    },
    "a package without __init__": {
        "mine/picker.py": "from . import numbers\n" + PICKER.format(answer="numbers.seven()"),
        "mine/numbers.py": "def seven(): return 7\n",
    },
    "a neighbour that a function imports when it runs": {
        "mine.py": PICKER.format(answer="0").replace("return 0", "import helper; return helper.seven()"),
        "helper.py": "import threading\ndef seven(): return 7\n",
    },
    "a part of the package that a function imports when it runs": {
        "mine/__init__.py": PICKER.format(answer="0").replace("return 0", "from .numbers import seven; return seven()"),
        "mine/numbers.py": "def seven(): return 7\n",
    },
    "names that no module has": {
        "mine.py": "try:\n    import nowhere_to_be_found\nexcept ImportError:\n    pass\n" + PICKER.format(answer=7),
    },
}

WORKER = """
import pickle, random, sys
shipment = pickle.loads(sys.stdin.buffer.read())
shipment.unpack()
from minibit import strategies
name, = shipment.strategies
print(strategies.picker(name)(random.Random(1)).pick(255, None))
"""


@pytest.mark.parametrize("project", PROJECTS)
def test_a_strategy_plays_where_none_of_its_modules_can_be_imported(
    project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    for path, source in PROJECTS[project].items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(source)
    module = "mine.picker" if (tmp_path / "mine" / "picker.py").exists() else "mine"
    try:
        parcel = cloudpickle.dumps(shipped([Seat(name="peer-01", rules=Rules(picker=f"{module}:Mine"))]))
        known = {*cloudpickle.list_registry_pickle_by_value()}
    finally:
        for name in set(sys.modules) - before:
            if name.split(".")[0] in {"mine", "helper", "further"}:
                cloudpickle.unregister_pickle_by_value(sys.modules[name])
                del sys.modules[name]
    assert not {name for name in known if name.split(".")[0] in {"minibit", "ray", "random", "math"}}
    worker = subprocess.run(
        [sys.executable, "-c", WORKER],
        input=parcel,
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
    )
    assert worker.stdout.decode().strip() == "7", worker.stderr.decode()


def test_without_strategies_of_ones_own_nothing_is_shipped() -> None:
    parcel = shipped([Seat(name="peer-01"), Seat(name="peer-02", behaviour="free-rider")])
    assert pickle.loads(pickle.dumps(parcel)) == ({}, {})
