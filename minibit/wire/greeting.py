"""The greeting: how the two ends of a new link prove to each other that they hold the swarm's key.

    dialler    REGISTRO peer, host, port, manifest, nonce, protocol, sealed, alone
    acceptor   REGISTRO peer, host, port, manifest, nonce, protocol, sealed, proof
    dialler    REGISTRO peer, proof

A proof is HMAC-SHA256 with the swarm's key over the role of the end that gives it, and all that the first two
REGISTROs say. So a proof from another link, another swarm or the other direction is no use, and neither is one of
words that were changed on their way. The key itself is never on the wire. A proof says that the other end belongs to
the swarm; it encrypts nothing. The keys of the link's seals, one for each direction, come from the same words.

With `sealed` an end asks the other to let its seals cover the bytes of blocks too: it once sent a wrong block.

Invariant: no end is PROVED before it has seen the other's proof. No I/O: messages in, messages out; the random
nonce is an argument.
"""

from __future__ import annotations

import hmac
from collections.abc import Container
from enum import Enum

import msgspec

from minibit.errors import LocalError, RemoteError
from minibit.messages import Message, PeerAddress, Registro
from minibit.wire.seal import Seal

PROTOCOL = 3  # its version: both ends of a link speak the same
NONCE_BYTES = 16
KEY_BYTES_MIN = 16


class Stage(Enum):
    """How far a greeting is."""

    LISTENING = "listening"  # acceptor: has heard nothing yet
    DIALLED = "dialled"  # dialler: gives its id first
    CHALLENGED = "challenged"  # acceptor: has given its proof, waits for the dialler's
    PROVED = "proved"
    REFUSED = "refused"


MOVES = {Stage.LISTENING: Stage.CHALLENGED, Stage.DIALLED: Stage.PROVED, Stage.CHALLENGED: Stage.PROVED}
"""What a good message makes of a stage. Any other message makes it REFUSED. The other two stages stay as they are."""


class Greeting:
    """One end of a greeting.

    `me` and `manifest` (a digest) are ours, `nonce` is `2 * NONCE_BYTES` fresh random hex digits. `expected` is the
    id that was dialled; None makes this the acceptor. Blocks of the peers in `suspects` must be sealed. Once the stage
    is PROVED, and for an acceptor already when it is CHALLENGED, `address` is the other end's; an acceptor's `alone`
    is the dialler's then too; `seals` says whether it asked us to seal our blocks.
    """

    def __init__(
        self,
        me: PeerAddress,
        key: bytes,
        manifest: str,
        nonce: str,
        *,
        expected: str | None = None,
        alone: bool = False,
        suspects: Container[str] = (),
    ) -> None:
        if len(key) < KEY_BYTES_MIN:
            raise LocalError(f"a swarm's key of {len(key)} bytes: give at least {KEY_BYTES_MIN} random ones")
        self.me = me
        self.dialled = expected is not None
        self.stage = Stage.DIALLED if self.dialled else Stage.LISTENING
        self.address: PeerAddress | None = None
        self.alone = alone
        self.seals = False
        self._key = key
        self._hello = Registro(
            peer=me.peer,
            host=me.host,
            port=me.port,
            manifest=manifest,
            nonce=nonce,
            protocol=PROTOCOL,
            alone=alone,
            sealed=expected in suspects,
        )
        self._theirs: Registro | None = None
        self._expected = expected
        self._suspects = suspects

    @property
    def sealed(self) -> bool:
        """Whether we asked the other end to seal its blocks."""
        return self._hello.sealed

    @property
    def name(self) -> str:
        """A name for the link that both ends know, and no other link has; once `address` is known."""
        assert self._theirs is not None
        return (self._hello if self.dialled else self._theirs).nonce

    @property
    def silent(self) -> bool:
        """Whether the other end, which dialled, has said nothing yet."""
        return self.stage is Stage.LISTENING

    def first(self) -> Registro | None:
        """The dialler's first message; the acceptor waits for it."""
        return self._hello if self.dialled else None

    def seal(self, *, ours: bool) -> Seal:
        """The seal of what we say, or they do, behind the last REGISTRO; once `address` is known."""
        return Seal(self._derive("seals", ours))

    def handle(self, message: Message) -> Registro | None:
        """Take a message of the other end; returns the answer, if one is due. `RemoteError` ends the greeting."""
        answer: Registro | None = None
        try:
            if not isinstance(message, Registro):
                raise RemoteError(f"{message.verb} before the proof")
            match self.stage:
                case Stage.LISTENING:
                    answer = self._on_hello(message)
                case Stage.DIALLED:
                    answer = self._on_answer(message)
                case Stage.CHALLENGED:
                    self._on_proof(message)
                case _:
                    raise RemoteError(f"REGISTRO after the greeting is {self.stage.value}")
        except RemoteError:
            if self.stage in MOVES:
                self.stage = Stage.REFUSED
            raise
        self.stage = MOVES[self.stage]
        return answer

    def _on_hello(self, hello: Registro) -> Registro:
        self._meet(hello)
        self.alone = hello.alone
        self._hello = msgspec.structs.replace(self._hello, sealed=hello.peer in self._suspects)
        return msgspec.structs.replace(self._hello, proof=self._proof(ours=True))

    def _on_answer(self, answer: Registro) -> Registro:
        self._meet(answer)
        self._judge(answer)
        return Registro(peer=self.me.peer, proof=self._proof(ours=True))

    def _on_proof(self, proof: Registro) -> None:
        assert self.address is not None
        if proof.peer != self.address.peer:
            raise RemoteError(f"{self.address.peer} became {proof.peer} in its greeting")
        self._judge(proof)

    def _meet(self, hello: Registro) -> None:
        if hello.protocol != PROTOCOL:
            raise RemoteError(
                f"version {hello.protocol} of the protocol, not {PROTOCOL}: give every node the same Minibit"
            )
        if hello.manifest != self._hello.manifest:
            raise RemoteError("another manifest: it shares other content")
        if hello.peer == self.me.peer:
            raise RemoteError(f"our own id, {hello.peer}")
        if self._expected not in (None, hello.peer):
            raise RemoteError(f"{self._expected} was dialled, and {hello.peer} answered")
        if len(hello.nonce) != 2 * NONCE_BYTES:
            raise RemoteError(f"a nonce of {len(hello.nonce)} digits")
        if hello.nonce == self._hello.nonce:
            raise RemoteError("our own nonce, sent back")
        self._theirs = msgspec.structs.replace(hello, proof="")
        self.seals = hello.sealed
        self.address = PeerAddress(peer=hello.peer, host=hello.host, port=hello.port)

    def _judge(self, message: Registro) -> None:
        # compare bytes: compare_digest refuses text beyond ASCII
        if not hmac.compare_digest(self._proof(ours=False).encode(), message.proof.encode(errors="replace")):
            raise RemoteError("a wrong proof: it doesn't hold this swarm's key")

    def _proof(self, ours: bool) -> str:
        return self._derive("proof", ours).hex()

    def _derive(self, purpose: str, ours: bool) -> bytes:
        """What only those that hold the key can make of the first two REGISTROs, for one end of the link."""
        assert self._theirs is not None
        hellos = (self._hello, self._theirs) if self.dialled else (self._theirs, self._hello)
        role = "dialler" if ours == self.dialled else "acceptor"
        # JSON keeps the parts apart: different lists never have the same bytes
        return hmac.digest(self._key, msgspec.json.encode([purpose, role, *hellos]), "sha256")
