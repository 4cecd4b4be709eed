"""The result of a run: one value, one JSON object, one exit code.

Only what follows from the fields themselves is computed here. Counts are exact. `as_dict` and `to_json` round times,
rates and shares to six significant digits, which is more than their accuracy.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from minibit.run.figures import as_rows, figures

T = TypeVar("T")


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What something came to, as one JSON object."""

    def as_dict(self) -> dict[str, Any]:
        """The JSON object as Python values, rounded."""
        return dict(rounded(msgspec.to_builtins(self)))

    def to_json(self) -> str:
        """The JSON object that `--json` prints, on one line."""
        return msgspec.json.encode(self.as_dict()).decode()


def by_reason(failures: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """What failed, by the reason that stands before it; the most first."""
    found: dict[str, list[T]] = {}
    for why, one in failures:
        found.setdefault(why, []).append(one)
    return dict(sorted(found.items(), key=lambda pair: -len(pair[1])))


class ContentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The content: `blocks` of `block_bytes` each (some may be shorter), named by the `digest`."""

    name: str
    bytes: int
    blocks: int
    block_bytes: int
    digest: str


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """The times of a run, in seconds.

    spawn     until tracker and peers stood ready
    transfer  from the first PEDIDO allowed to the last peer complete (or to the end of waiting)
    first, median, last
              until the first, the middle and the last of the peers that completed were complete; None if no peer was
    verify    for reading the finished files back
    total     all together
    """

    spawn: float
    transfer: float
    first: float | None
    median: float | None
    last: float | None
    verify: float
    total: float


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """The bytes that went over the links.

    moved      payload that arrived, useful or not
    wasted     the part of `moved` that was double or rejected
    seed_sent  payload that the tracker sent
    control    everything that is not payload
    """

    moved: int
    wasted: int
    seed_sent: int
    control: int

    @property
    def wasted_share(self) -> float | None:
        """The wasted part of the payload that arrived; None if none arrived."""
        return self.wasted / self.moved if self.moved else None

    @property
    def control_share(self) -> float | None:
        """Bytes that are not payload / payload that arrived. (B. Cohen 2003 gives HAVE less than a thousandth.)"""
        return self.control / self.moved if self.moved else None


class MessageCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The number of messages sent in the whole swarm, by verb."""

    REGISTRO: int = 0
    LISTA_PEERS: int = 0
    NOVO_PEER: int = 0
    ESTOQUE: int = 0
    BLOQUEIO: int = 0
    DESBLOQUEIO: int = 0
    PEDIDO: int = 0
    BLOCO: int = 0
    DESLIGAMENTO: int = 0

    @property
    def total(self) -> int:
        """Messages of all verbs together."""
        return sum(msgspec.structs.astuple(self))


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A peer that has no complete and verified copy, and the reason.

    missing  the blocks that it lacked at the end, if it was still waiting for them
    node     the host that it ran on; None in a simulation
    """

    peer: str
    why: str
    missing: int = 0
    node: str | None = None


class Summary(Result, frozen=True, kw_only=True, omit_defaults=True):
    """A whole run.

    verified       peers whose finished file was read back from disk and matched
    goodput_bps    useful payload a second, over all peers, during the transfer
    bound_s        the lower bound on `seconds.transfer`; None unless the capacities are known
    efficiency     bound / transfer, at most 1; None likewise
    fairness_jain  Jain's index of the payload that each peer sent
    actor_calls    calls of Ray actors, by all together
    timed_out      whether the time limit ended the run; in the JSON only if it did
    source_changed what of the content is not what it was when the run began; in the JSON only if something is
    """

    run: str
    world: str
    preset: str | None
    seed: int
    content: ContentSummary
    peers: int
    completed: int
    verified: int
    nodes: int
    seconds: Times
    bytes: Traffic
    goodput_bps: float
    bound_s: float | None
    efficiency: float | None
    fairness_jain: float
    actor_calls: int
    messages: MessageCounts
    failed: list[Failure]
    timed_out: bool = False
    source_changed: str = ""

    @property
    def exit_code(self) -> int:
        """0 done, 3 the source changed and some peers failed, 4 some failed or none is complete, 5 time limit,
        6 a finished copy did not verify.
        """
        if self.verified < self.completed:
            return 6
        if self.failed and self.source_changed:
            return 3
        if self.timed_out:
            return 5
        return 4 if self.failed or not self.completed else 0

    @property
    def seed_copies(self) -> float | None:
        """Payload that the seed sent / the bytes of the content; None for empty content."""
        return self.bytes.seed_sent / self.content.bytes if self.content.bytes else None

    def failed_by_reason(self) -> dict[str, list[Failure]]:
        """The peers that failed, by the reason; the most first."""
        return by_reason((failure.why, failure) for failure in self.failed)

    def __repr__(self) -> str:
        return "\n".join(f"{one.question:<9} {one.text}" for one in figures(self))

    def _repr_html_(self) -> str:
        return f"<table>{as_rows((one.question, one.text) for one in figures(self))}</table>"


def jain(values: Iterable[float]) -> float:
    """How evenly `values` are spread: 1 when all are equal, 1/n when one has everything.

    `(sum x)^2 / (n sum x^2)`; 1 if there is nothing to spread. (R. Jain, D.-M. Chiu and W. Hawe, "A
    quantitative measure of fairness and discrimination", DEC-TR-301, 1984.)
    """
    shares = list(values)
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def rounded(value: Any) -> Any:
    """Plain values with each number that is no whole one rounded to six significant digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
