"""A message in one short line, for the page of one peer."""

from __future__ import annotations

from typing import Any

from minibit.messages import Bloco, Desligamento, Estoque, ListaPeers, Message, NovoPeer, Pedido, Registro

MOST_NAMED = 8  # blocks or peers, in one line


def in_words(message: Message) -> str:
    """A message in one short line."""
    match message:
        case Pedido(block) | Bloco(block):
            said = f"block {block}"
        case Estoque(whole, new):
            everything = "" if whole is None else "whole"
            said = " and ".join(part for part in (everything, _some("block ", new)) if part)
        case NovoPeer(peers) | ListaPeers(peers):
            said = _some("", [one.peer for one in peers]) or "nobody"
        case Registro():
            said = message.peer
        case Desligamento():
            said = message.why
        case _:
            said = ""
    return f"{message.verb} {said}".strip()


def _some(before: str, many: Any) -> str:
    more = f" and {len(many) - MOST_NAMED} more" if len(many) > MOST_NAMED else ""
    return f"{before}{', '.join(map(str, many[:MOST_NAMED]))}{more}" if many else ""
