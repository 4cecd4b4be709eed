"""Judgements on the books of a run: which peers it waits for, whether anything can still come, which peers failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minibit import inventory
from minibit.run.account import Account
from minibit.run.summary import Failure

Accounts = Mapping[str, Account]

AWAY_S = 5.0  # a peer that is silent for longer is out of reach, or its machine is overloaded
USELESS = ("corrupter", "free-rider")  # nobody gets a right block from them


def waiting(accounts: Accounts) -> list[str]:
    """The peers that the run waits for."""
    return [name for name, account in accounts.items() if account.waited_for]


def lost_blocks(accounts: Accounts, block_count: int) -> list[int]:
    """The blocks that no member holds that is there and serves right blocks."""
    lost = inventory.full(block_count)
    for account in accounts.values():
        if account.gone is None and account.seat.behaviour not in USELESS:
            lost &= ~account.held
    return list(inventory.indices(lost))


def why_hopeless(accounts: Accounts, block_count: int, otherwise: str | None) -> str | None:
    """Why the run waits no longer, though nothing moves: all peers that wait lack blocks that are lost, or `otherwise`.

    None: one of them may still complete.
    """
    lost = lost_blocks(accounts, block_count)
    if not lost:
        return otherwise
    some = ", ".join(map(str, lost[:10])) + (", ..." if len(lost) > 10 else "")
    told = f"nobody holds {len(lost)} {'block' if len(lost) == 1 else 'blocks'} any more ({some})"
    blocks = inventory.of(lost)
    if any(not blocks & ~accounts[name].held for name in waiting(accounts)):
        return otherwise and f"{otherwise}, and {told}"
    return told


def failures(accounts: Accounts, block_count: int, why: str) -> list[Failure]:
    """The peers that should have a complete and right copy and have none; `why` for those that just wait."""
    return [
        Failure(peer=name, node=account.node, **_told(account, block_count, why))
        for name, account in accounts.items()
        if (account.wanted and not account.done) or (account.finished and account.verified is False)
    ]


def _told(account: Account, block_count: int, why: str) -> dict[str, Any]:
    """Why a member failed: of several reasons, the first."""
    if account.finished and account.verified is False:
        return {"why": "its finished copy is not what the manifest says"}
    if account.finished:
        return {"why": account.unproved or "it was complete too late to be verified"}
    if account.gone is not None:
        return {"why": str(account.gone)}
    away = "it gave no answer" if account.silent_s > AWAY_S else ""
    told = ", ".join(filter(None, (why, away))) or "it was still waiting"
    return {"why": told, "missing": block_count - account.held.bit_count()}
