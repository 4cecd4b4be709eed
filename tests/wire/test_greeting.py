"""Both ends prove the key; an end without it, or with another id than expected, is refused."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibit.errors import LocalError, RemoteError
from minibit.messages import Message, Pedido, PeerAddress, Registro
from minibit.wire.greeting import MOVES, PROTOCOL, Greeting, Stage

KEY = b"k" * 32
A = PeerAddress(peer="a", host="10.0.0.1", port=1)
B = PeerAddress(peer="b", host="10.0.0.2", port=2)


def dialler(
    me: PeerAddress = A, key: bytes = KEY, manifest: str = "m", expected: str = "b", nonce: str = "0a"
) -> Greeting:
    return Greeting(me, key, manifest, nonce * 16, expected=expected, alone=True)


def acceptor(me: PeerAddress = B, key: bytes = KEY, manifest: str = "m", nonce: str = "0b") -> Greeting:
    return Greeting(me, key, manifest, nonce * 16)


def said(message: Registro | None) -> Registro:
    assert message is not None
    return message


def greet(first: Greeting, second: Greeting, change: Callable[[int, Registro], Message] = lambda _, m: m) -> None:
    """The whole greeting, each message perhaps changed on its way."""
    answer = said(second.handle(change(0, said(first.first()))))
    proof = said(first.handle(change(1, answer)))
    assert second.handle(change(2, proof)) is None


def test_two_who_hold_the_key_prove_it_to_each_other() -> None:
    first, second = dialler(), acceptor()
    assert second.first() is None
    greet(first, second)
    assert first.stage is second.stage is Stage.PROVED
    assert (first.address, second.address) == (B, A)
    assert second.alone


def test_the_key_is_never_on_the_wire_and_no_proof_is_said_twice() -> None:
    wire: list[Registro] = []

    def note(_: int, message: Registro) -> Registro:
        wire.append(message)
        return message

    greet(dialler(), acceptor(), note)
    greet(dialler(nonce="0c"), acceptor(), note)
    greet(dialler(), acceptor(nonce="0d"), note)
    proofs = [message.proof for message in wire if message.proof]
    assert len(set(proofs)) == len(proofs) == 6
    assert all(KEY.hex() not in message.proof and "kkkk" not in str(message) for message in wire)


@pytest.mark.parametrize(
    ("first", "second", "why"),
    [
        (dialler(manifest="other"), acceptor(), "another manifest"),
        (dialler(me=B, expected="c"), acceptor(), "our own id"),
        (dialler(expected="c"), acceptor(), "c was dialled, and b answered"),
        (dialler(key=b"x" * 32), acceptor(), "wrong proof"),
        (dialler(nonce="0b"), acceptor(), "our own nonce"),
        (dialler(nonce=""), acceptor(), "a nonce of 0 digits"),
    ],
)
def test_an_end_of_another_swarm_or_with_another_id_is_refused(first: Greeting, second: Greeting, why: str) -> None:
    with pytest.raises(RemoteError, match=why):
        greet(first, second)
    assert Stage.REFUSED in (first.stage, second.stage)


@pytest.mark.parametrize(
    "change", [{"host": "10.6.6.6"}, {"port": 666}, {"alone": False}, {"sealed": True}, {"nonce": "0f" * 16}], ids=str
)
@pytest.mark.parametrize("step", [0, 1])
def test_no_word_of_the_greeting_can_be_changed_on_its_way(step: int, change: dict[str, object]) -> None:
    if step == 1 and "alone" in change:
        change = {"alone": True}
    with pytest.raises(RemoteError, match="wrong proof"):
        greet(dialler(), acceptor(), lambda at, m: msgspec.structs.replace(m, **change) if at == step else m)


def test_another_version_of_the_protocol_is_refused_with_what_to_do() -> None:
    with pytest.raises(RemoteError, match="version 1 of the protocol, not 3: give every node the same Minibit"):
        greet(dialler(), acceptor(), lambda at, m: msgspec.structs.replace(m, protocol=1) if at == 0 else m)


def test_each_direction_of_each_link_has_a_seal_of_its_own_which_both_ends_know() -> None:
    seals = []
    for nonce in ("0a", "0c"):
        first, second = dialler(nonce=nonce), acceptor()
        greet(first, second)
        for ours in (True, False):
            seal = first.seal(ours=ours).over(b"head")
            assert seal == second.seal(ours=not ours).over(b"head")
            seals.append(seal)
    assert len(set(seals)) == 4


def test_an_end_asks_for_sealed_blocks_of_a_suspect_and_each_direction_alone() -> None:
    doubting = Greeting(A, KEY, "m", "0a" * 16, expected="b", suspects={"b", "z"})
    asked = acceptor()
    greet(doubting, asked)
    assert (doubting.sealed, doubting.seals) == (asked.seals, asked.sealed) == (True, False)
    asking, doubting = dialler(), Greeting(B, KEY, "m", "0b" * 16, suspects={"a"})
    greet(asking, doubting)
    assert (doubting.sealed, doubting.seals) == (asking.seals, asking.sealed) == (True, False)


def test_the_acceptor_refuses_a_wrong_proof_too() -> None:
    def forge(step: int, message: Registro) -> Registro:
        return msgspec.structs.replace(message, proof="0" * 64) if step == 2 else message

    second = acceptor()
    with pytest.raises(RemoteError, match="wrong proof"):
        greet(dialler(), second, forge)
    assert second.stage is Stage.REFUSED


def test_the_acceptors_proof_is_no_proof_of_a_dialler() -> None:
    second = acceptor()
    answer = said(second.handle(said(dialler().first())))
    with pytest.raises(RemoteError, match="wrong proof"):
        second.handle(Registro(peer="a", proof=answer.proof))


def test_a_proof_got_from_the_victims_own_server_is_no_answer_to_its_dial() -> None:
    victim_dials = dialler()  # a dials b, and somebody without the key answers as b
    hello = said(victim_dials.first())
    victim_serves = acceptor(me=A, nonce="0e")  # and asks a itself for a proof over the same nonce
    oracle = said(
        victim_serves.handle(Registro(peer="b", manifest="m", nonce=hello.nonce, protocol=PROTOCOL)),
    )
    with pytest.raises(RemoteError, match="wrong proof"):
        victim_dials.handle(msgspec.structs.replace(oracle, peer="b"))


def test_nobody_changes_its_id_within_a_greeting() -> None:
    def rename(step: int, message: Registro) -> Registro:
        return msgspec.structs.replace(message, peer="c") if step == 2 else message

    with pytest.raises(RemoteError, match="a became c"):
        greet(dialler(), acceptor(), rename)


@pytest.mark.parametrize("proof", ["", "é" * 64, "\ud800", "0" * 65])
def test_a_proof_of_any_text_is_only_wrong(proof: str) -> None:
    second = acceptor()
    second.handle(said(dialler().first()))
    with pytest.raises(RemoteError, match="wrong proof"):
        second.handle(Registro(peer="a", proof=proof))


def test_any_other_verb_and_anything_after_the_end_is_refused() -> None:
    with pytest.raises(RemoteError, match="PEDIDO before the proof"):
        acceptor().handle(Pedido(1))
    first, second = dialler(), acceptor()
    greet(first, second)
    for end in (first, second):
        with pytest.raises(RemoteError, match="after the greeting is proved"):
            end.handle(Registro(peer="a"))
        assert end.stage is Stage.PROVED


def test_a_key_that_can_be_guessed_is_our_own_mistake() -> None:
    with pytest.raises(LocalError, match="at least 16"):
        acceptor(key=b"short")


@given(
    st.lists(
        st.builds(
            Registro,
            peer=st.sampled_from("abc"),
            manifest=st.just("m"),
            nonce=st.just("0" * 32),
            proof=st.text(),
            protocol=st.just(PROTOCOL),
        )
    )
)
def test_without_the_key_nothing_said_leads_to_proved(messages: list[Registro]) -> None:
    for end in (dialler(), acceptor()):
        for message in messages:
            before = end.stage
            try:
                end.handle(message)
            except RemoteError:
                assert end.stage is Stage.REFUSED
            assert end.stage is before or (before in MOVES and end.stage in (MOVES[before], Stage.REFUSED))
        assert end.stage is not Stage.PROVED
