"""Was the machine quiet? What kept its processors busy while a bench rested between its runs."""

from __future__ import annotations

import os
import time
from statistics import median

import psutil

SETTLE_S = 2.0  # for what the run before leaves behind
LOOK_S = 2.0
QUIET_SHARE = 0.1  # of all processors; more is a machine that others use


class Quiet:
    """What others did meanwhile: load averages of a minute, and the share of the processors that was busy at rest."""

    def __init__(self) -> None:
        self._load_before = os.getloadavg()[0]
        self._busy: list[float] = []

    def rest(self) -> None:
        """Rest before a run, and look."""
        time.sleep(SETTLE_S)
        self._busy.append(psutil.cpu_percent(LOOK_S) / 100)  # what the host took from this machine counts as busy

    def figures(self) -> dict[str, float | bool]:
        """`load_before` and `load_after`, the median and the most of `busy_at_rest`, and whether it was `quiet`."""
        busy = self._busy or [0.0]
        return {
            "load_before": self._load_before,
            "load_after": os.getloadavg()[0],
            "busy_at_rest": median(busy),
            "busy_at_most": max(busy),
            "quiet": median(busy) <= QUIET_SHARE,
        }

    @staticmethod
    def shown(figures: dict[str, float | bool]) -> str:
        """Such figures, in a sentence."""
        loads = f"load average {figures['load_before']:.1f} before, {figures['load_after']:.1f} after"
        share = f"others kept {100 * figures['busy_at_rest']:.0f} % of the processors busy between the runs"
        return f"{loads}; {share}" + ("" if figures["quiet"] else ": NOT QUIET, so even ratios say little")
