"""The greeting: how the two ends of a new link prove to each other that they hold the swarm's key.

    dialler    REGISTRO peer, host, port, manifest, nonce, alone
    acceptor   REGISTRO peer, host, port, manifest, nonce, proof
    dialler    REGISTRO peer, proof

A proof is HMAC-SHA256 with the swarm's key over the role of the end that gives it, both ids, both nonces and
the manifest's digest. So a proof from another link, another swarm or the other direction is no use. The key
itself is never on the wire. A proof says that the other end belongs to the swarm; it encrypts nothing.

Invariant: no end is PROVED before it has seen the other's proof. No I/O: messages in, messages out; the random
nonce is an argument.
"""

from __future__ import annotations

import hmac
from enum import Enum

import msgspec

from minibit.errors import LocalError, RemoteError
from minibit.messages import Message, PeerAddress, Registro

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
    id that was dialled; None makes this the acceptor. Once the stage is PROVED, and for an acceptor already when it
    is CHALLENGED, `address` is the other end's; an acceptor's `alone` is the dialler's then too.
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
    ) -> None:
        if len(key) < KEY_BYTES_MIN:
            raise LocalError(f"a swarm's key of {len(key)} bytes: give at least {KEY_BYTES_MIN} random ones")
        self.me = me
        self.dialled = expected is not None
        self.stage = Stage.DIALLED if self.dialled else Stage.LISTENING
        self.address: PeerAddress | None = None
        self.alone = alone
        self._key = key
        self._manifest = manifest
        self._nonce = nonce
        self._their_nonce = ""
        self._expected = expected

    def first(self) -> Registro | None:
        """The dialler's first message; the acceptor waits for it."""
        return self._hello(alone=self.alone) if self.dialled else None

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
        return self._hello(proof=self._proof(ours=True))

    def _on_answer(self, answer: Registro) -> Registro:
        self._meet(answer)
        self._judge(answer)
        return Registro(peer=self.me.peer, proof=self._proof(ours=True))

    def _on_proof(self, proof: Registro) -> None:
        assert self.address is not None
        if proof.peer != self.address.peer:
            raise RemoteError(f"{self.address.peer} became {proof.peer} in its greeting")
        self._judge(proof)

    def _hello(self, proof: str = "", alone: bool = False) -> Registro:
        me = self.me
        return Registro(
            peer=me.peer,
            host=me.host,
            port=me.port,
            manifest=self._manifest,
            nonce=self._nonce,
            proof=proof,
            alone=alone,
        )

    def _meet(self, hello: Registro) -> None:
        if hello.manifest != self._manifest:
            raise RemoteError("another manifest: it shares other content")
        if hello.peer == self.me.peer:
            raise RemoteError(f"our own id, {hello.peer}")
        if self._expected not in (None, hello.peer):
            raise RemoteError(f"{self._expected} was dialled, and {hello.peer} answered")
        if len(hello.nonce) != 2 * NONCE_BYTES:
            raise RemoteError(f"a nonce of {len(hello.nonce)} digits")
        if hello.nonce == self._nonce:
            raise RemoteError("our own nonce, sent back")
        self._their_nonce = hello.nonce
        self.address = PeerAddress(peer=hello.peer, host=hello.host, port=hello.port)

    def _judge(self, message: Registro) -> None:
        # compare bytes: compare_digest refuses text beyond ASCII
        if not hmac.compare_digest(self._proof(ours=False).encode(), message.proof.encode(errors="replace")):
            raise RemoteError("a wrong proof: it doesn't hold this swarm's key")

    def _proof(self, ours: bool) -> str:
        assert self.address is not None
        mine, theirs = (self.me.peer, self._nonce), (self.address.peer, self._their_nonce)
        dialler, acceptor = (mine, theirs) if self.dialled else (theirs, mine)
        role = "dialler" if ours == self.dialled else "acceptor"
        # JSON keeps the parts apart: different lists never have the same bytes
        said = msgspec.json.encode([role, dialler, acceptor, self._manifest])
        return hmac.new(self._key, said, "sha256").hexdigest()
