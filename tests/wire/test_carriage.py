"""What both worlds must obey stands once."""

from __future__ import annotations

import ast
from inspect import signature
from pathlib import Path

from minibit.actors.links import outbox, pairs
from minibit.sim import network, reach, world
from minibit.wire import carriage, frame

ROOT = Path(__file__).parent.parent.parent
NAMES = {name for name in vars(carriage) if name.isupper()}


def test_real_links_and_simulated_ones_read_the_same_constants():
    assert outbox.PASSING is network.PASSING is carriage.PASSING
    assert frame.PREFIX_BYTES + frame.SEAL_BYTES == network.FRAME_BYTES == carriage.FRAME_BYTES
    assert pairs.IDLE_S is network.IDLE_S is world.IDLE_S is reach.IDLE_S is carriage.IDLE_S
    assert pairs.DIAL_S is network.DIAL_S is carriage.DIAL_S
    assert signature(pairs.Links).parameters["idle_s"].default == carriage.IDLE_S
    assert signature(pairs.Links.dial).parameters["timeout_s"].default == carriage.DIAL_S


def test_no_other_room_gives_them_a_value():
    again = [
        f"{path.relative_to(ROOT)}: {target.id}"
        for folder in ("minibit", "actors")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path != ROOT / "minibit" / "wire" / "carriage.py"
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in NAMES
    ]
    assert {"PASSING", "PREFIX_BYTES", "SEAL_BYTES", "FRAME_BYTES", "IDLE_S", "DIAL_S"} <= NAMES
    assert again == []
