"""`minibit.push`: a push as a call in Python, which shows itself in a notebook."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from html import escape
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from minibit.actors.disk import files
from minibit.actors.driver.signals import undisturbed
from minibit.delivery.given import PushKeywords
from minibit.delivery.order import TABLE, Order
from minibit.delivery.outlook import Outlook
from minibit.delivery.progress import Pushing, PushProgress
from minibit.delivery.result import PushError, PushResult
from minibit.errors import LocalError, SourceError
from minibit.run.given import beside_environment, with_table
from minibit.units import show_duration

if TYPE_CHECKING:
    from typing import Unpack

    from minibit.actors.driver.push import Push

SHOW_EVERY_S = 0.5


def aimed(source: str | os.PathLike[str], order: Order) -> tuple[Path, Order]:
    """The absolute path of the content, and the order with that of the copies; nothing but this disk is looked at.

    `SourceError` if there is nothing that can be pushed, `OptionError` for a copy inside the content or around it.
    """
    path = Path(os.path.abspath(source))  # noqa: PTH100 - resolve() would take the name of a link's target
    if not os.path.lexists(path):
        raise SourceError(f"there is no {source}: give a file or a folder")
    files.check_source(path)
    placed = order.placed(str(path))
    placed.placed(str(path.resolve()))
    return path, placed


def conduct(source: Path, order: Order, tell: Pushing) -> PushResult:
    """The push itself: check, hash, move, verify."""
    return _push().run(source, order, tell)


def leave(source: Path, order: Order, tell: Pushing) -> str | PushResult:
    """Check and hash, and let the push go on by itself: its name; or what it came to, if it is over already."""
    return _push().detach(source, order, tell)


def look_ahead(source: Path, order: Order, tell: Pushing) -> Outlook:
    """What the push would do; nothing is moved."""
    with undisturbed():
        from minibit.actors.driver.ahead import PushAhead  # noqa: PLC0415

    return PushAhead.look(source, order, tell)


def _push() -> type[Push]:
    with undisturbed():  # half of Ray can neither run nor end
        from minibit.actors.driver import push as room  # noqa: PLC0415  imports Ray, for which nothing else waits

    return room.Push


@overload
def push(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    *,
    detach: Literal[False] = False,
    dry_run: Literal[False] = False,
    progress: Pushing | None = None,
    **given: Unpack[PushKeywords],
) -> PushResult:
    """Push, and return what it came to."""


@overload
def push(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    *,
    detach: Literal[True],
    dry_run: Literal[False] = False,
    progress: Pushing | None = None,
    **given: Unpack[PushKeywords],
) -> str:
    """Let the push go on by itself, and return its name."""


@overload
def push(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    *,
    detach: Literal[False] = False,
    dry_run: Literal[True],
    progress: Pushing | None = None,
    **given: Unpack[PushKeywords],
) -> Outlook:
    """Move nothing, and return what would be moved."""


@with_table([option for option in TABLE.values() if option.name != "dest"], PushKeywords)
def push(
    source: str | os.PathLike[str],
    dest: str | os.PathLike[str],
    *,
    detach: bool = False,
    dry_run: bool = False,
    progress: Pushing | None = None,
    **given: Unpack[PushKeywords],
) -> PushResult | str | Outlook:
    """Put the file or folder `source` on every node of a Ray cluster, at the absolute path `dest`, whole and verified.

    What is `given` are options of the command line, as the same texts or as numbers of bytes, bytes a second or
    seconds. The address of the cluster, limits and ports may stand in the environment: MINIBIT_ADDRESS, RAY_ADDRESS.
    `progress` is called with a `PushProgress` again and again, in this thread; without it a notebook shows how far the
    push is. Nodes that have the copy already get nothing. `PushError` if fewer nodes than `min_nodes` have one at the
    end: its `result` says of each why. Other `MinibitError`s say what was wrong before anything moved.

    With `detach` the push goes on by itself once blocks move, and its name is returned, for `minibit wait NAME`. With
    `dry_run` nothing is moved: an `Outlook` says what would be.
    """
    if detach and dry_run:
        raise LocalError("what moves nothing can't be left to itself: give dry_run or detach")
    order = beside_environment(Order.build, TABLE, {"dest": dest, **given}, os.environ)
    path, order = aimed(source, order)
    from minibit.actors.driver.show import in_notebook  # noqa: PLC0415  imports Ray

    cell = PushCell() if progress is None and in_notebook() else None
    tell = progress or cell or (lambda seen: None)
    result = (look_ahead if dry_run else leave if detach else conduct)(path, order, tell)
    if cell is not None:
        cell.show(_end_of(result))
    if isinstance(result, PushResult) and (result.exit_code or detach):  # nothing is left to itself
        raise PushError(f"{result.sentence}: {result.blame}", result)
    return result


def _end_of(result: PushResult | str | Outlook) -> str:
    """What a cell says at the end."""
    if isinstance(result, PushResult):
        return f"pushed in {show_duration(result.seconds.total)}"
    return "nothing was moved" if isinstance(result, Outlook) else f"{result} goes on by itself: minibit wait {result}"


class PushCell:
    """The line in a notebook's cell that says how far a push is; it is drawn over, and not often."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shown_at, self._phase = -inf, ""
        self._handle: Any = None

    def __call__(self, seen: PushProgress) -> None:
        """Show it, if enough time has passed or the phase is a new one."""
        now = self._clock()
        if now - self._shown_at >= SHOW_EVERY_S or seen.phase != self._phase:
            self._shown_at, self._phase = now, seen.phase
            self.show(seen.line)

    def show(self, text: str) -> None:
        """Draw this line over the one before."""
        from IPython.display import display  # noqa: PLC0415  only a notebook has it for sure

        drawn = {"text/html": f"<div>{escape(text)}</div>", "text/plain": text}
        if self._handle is None:
            self._handle = display(drawn, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(drawn, raw=True)
