"""The nine verbs of the protocol, as frozen structs in one union, and their JSON.

Every message is a JSON object whose attribute `tipo` names the verb. The raw bytes of a block are not part of a
message: they follow the header of a BLOCO on the link. What arrives is either a valid message or a `RemoteError`. Every
field has its bounds here, whichever way the message comes: `decode` judges what a link brings, `judged` what an actor
call brings. The peer, which knows the content, judges the values that depend on it: an index, the size of an inventory.
"""

from __future__ import annotations

from collections.abc import Iterable
from string import hexdigits
from typing import Annotated, get_args

import msgspec

from minibit import inventory
from minibit.errors import RemoteError

WHY_CHARACTERS = 200  # a farewell has at most this much of the reason
LABEL = "[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"  # between two dots of a host name; resolvers raise at longer
IPV6 = r"(?=[^:]*:[^:]*:)[0-9A-Fa-f:]{2,39}(?:(?:\.[0-9]{1,3}){3})?(?:%[A-Za-z0-9_-]{1,16})?"
HOST = rf"^(?:{LABEL}(?:\.{LABEL})*\.?|{IPV6})\Z"

ID = r"^[^\x00-\x1f\x7f-\x9f]*\Z"  # no control characters: it is shown on terminals

PeerId = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=ID)]
NoPeerId = Annotated[str, msgspec.Meta(max_length=128, pattern=ID)]
Host = Annotated[str, msgspec.Meta(max_length=253, pattern=HOST)]
NoHost = Annotated[str, msgspec.Meta(max_length=253, pattern=f"^\\Z|{HOST}")]
Why = Annotated[str, msgspec.Meta(max_length=WHY_CHARACTERS)]
Token = Annotated[str, msgspec.Meta(max_length=128)]  # a digest, a nonce, a proof
BlockIndex = Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]
Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Verb(msgspec.Struct, frozen=True, gc=False, tag_field="tipo", omit_defaults=True, forbid_unknown_fields=True):
    """Base of all messages; `verb` is its name in the attribute `tipo`."""

    @property
    def verb(self) -> str:
        return VERB_OF[type(self)]


class PeerAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the block server of `peer` listens."""

    peer: PeerId
    host: Host
    port: Port


class Registro(Verb, frozen=True, tag="REGISTRO", kw_only=True):
    """Here I am. To the tracker: at this address. On a new link: and I know the swarm's key.

    `manifest` is the digest that names the swarm. `nonce` and `proof` (hex) are the challenge and the
    response of a link's first frames; `protocol` is the version that the sender speaks there, and `sealed` asks the
    receiver to seal the bytes of its blocks. `alone` asks a full peer to make room for the sender, because no
    neighbour of the sender can feed it, or too few want its blocks; the tracker gets it too, and decides nothing by it.
    """

    peer: PeerId
    host: NoHost = ""
    port: Port = 0
    manifest: Token = ""
    nonce: Token = ""
    proof: Token = ""
    alone: bool = False
    protocol: Annotated[int, msgspec.Meta(ge=1, lt=1 << 16)] = 1
    sealed: bool = False


class ListaPeers(Verb, frozen=True, tag="LISTA_PEERS"):
    """The tracker's answer to a REGISTRO: these are your neighbours."""

    peers: tuple[PeerAddress, ...] = ()


class NovoPeer(Verb, frozen=True, tag="NOVO_PEER"):
    """Newcomers entered the swarm: connect to them if you want."""

    peers: tuple[PeerAddress, ...] = ()


class Estoque(Verb, frozen=True, tag="ESTOQUE"):
    """The blocks that the sender holds: `whole` (the inventory as hex, bit i for block i), or what is `new`."""

    whole: str | None = None
    new: tuple[BlockIndex, ...] = ()


class Bloqueio(Verb, frozen=True, tag="BLOQUEIO"):
    """I do not serve you now; the PEDIDOs that I have not begun to answer are void."""


class Desbloqueio(Verb, frozen=True, tag="DESBLOQUEIO"):
    """I serve you now."""


class Pedido(Verb, frozen=True, tag="PEDIDO"):
    """Send me this block. With `rarer`: or another one that I lack, if nobody but you has it."""

    block: BlockIndex
    rarer: bool = False


class Bloco(Verb, frozen=True, tag="BLOCO"):
    """Here is this block; its bytes follow the header on the link. `busy`: other neighbours wait for theirs."""

    block: BlockIndex
    busy: bool = False


class Desligamento(Verb, frozen=True, tag="DESLIGAMENTO"):
    """`peer` leaves (to the tracker: the swarm; on a link: this neighbour), and why."""

    peer: NoPeerId = ""
    why: Why = ""


Message = Registro | ListaPeers | NovoPeer | Estoque | Bloqueio | Desbloqueio | Pedido | Bloco | Desligamento

VERBS: dict[str, type[Verb]] = {cls.__struct_config__.tag: cls for cls in get_args(Message)}
VERB_OF: dict[type, str] = {cls: verb for verb, cls in VERBS.items()}

NEWS = frozenset({Registro, ListaPeers, NovoPeer})
"""The messages that say where peers are. The tracker says them, or a notebook, by an actor call; no neighbour may."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def encode(message: Message) -> bytes:
    """The message as JSON."""
    return _encoder.encode(message)


def decode(data: bytes | bytearray | memoryview) -> Message:
    """The message in `data`; `RemoteError` when there is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RemoteError(f"not a message: {error}") from None


def judged(message: Message) -> Message:
    """The message that an actor call brought, if it is a valid one; `RemoteError` if not."""
    try:
        return decode(encode(message))
    except (TypeError, ValueError) as error:  # what can't be written at all
        raise RemoteError(f"not a message: {error}") from None


def in_words(message: Message, most: int = 8) -> str:
    """The message in one line: its verb and what it says, of a long list the first `most`.

    `ESTOQUE 0 1` is a whole inventory, `ESTOQUE +2 3` what is new in one. It takes any message, valid or not.
    """
    match message:
        case Pedido(block) | Bloco(block):
            says = str(block)
        case Estoque(whole, new):
            known = "" if whole is None else _held(whole, most)
            says = f"{known} {'+' * bool(new)}{_first(new, most)}".strip()
        case ListaPeers(peers) | NovoPeer(peers):
            says = _first((address.peer for address in peers), most) or "nobody"
        case Registro(alone=alone):
            says = "alone" * alone
        case Desligamento(why=why):
            says = why
        case _:
            says = ""
    return f"{message.verb} {says}".rstrip()


def _held(whole: str, most: int) -> str:
    if not whole or whole.strip(hexdigits):
        return "unreadable"
    return _first(inventory.indices(int(whole, 16)), most) or "nothing"


def _first(items: Iterable[object], most: int) -> str:
    texts = list(map(str, items))
    more = len(texts) - most
    return " ".join(texts[:most]) + (f" and {more} more" if more > 0 else "")
