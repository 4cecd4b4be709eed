"""The verbs and their JSON: what we say is what is heard, and what is no message is a RemoteError."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minibit import messages
from minibit.errors import RemoteError
from minibit.messages import VERBS, Message

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
PEERS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)
BLOCKS = st.integers(0, 2**31 - 1)
HOSTS = st.sampled_from(["127.0.0.1", "::1", "fe80::1%eth0", "node-3.local", "peer_07", "a" * 63])
ADDRESS = st.builds(messages.PeerAddress, PEERS, HOSTS, st.integers(0, 65535))
ADDRESSES = st.lists(ADDRESS, max_size=3).map(tuple)
EVERY = st.one_of(
    st.builds(
        messages.Registro,
        peer=PEERS,
        host=HOSTS | st.just(""),
        port=st.integers(0, 65535),
        manifest=TEXT,
        nonce=TEXT,
        proof=TEXT,
        alone=st.booleans(),
    ),
    st.builds(messages.ListaPeers, ADDRESSES),
    st.builds(messages.NovoPeer, ADDRESSES),
    st.builds(messages.Estoque, st.none() | TEXT, st.lists(BLOCKS, max_size=4).map(tuple)),
    st.just(messages.Bloqueio()),
    st.just(messages.Desbloqueio()),
    st.builds(messages.Pedido, BLOCKS),
    st.builds(messages.Bloco, BLOCKS),
    st.builds(messages.Desligamento, PEERS | st.just(""), TEXT),
)


@given(EVERY)
def test_what_was_said_is_what_is_heard(message: Message):
    assert messages.decode(messages.encode(message)) == message


@given(EVERY)
def test_every_message_is_a_json_object_whose_tipo_is_its_verb(message: Message):
    said = json.loads(messages.encode(message))
    assert said["tipo"] == message.verb
    assert VERBS[message.verb] is type(message)


def test_there_are_nine_verbs():
    of_the_swarm = {"REGISTRO", "LISTA_PEERS", "NOVO_PEER"}
    of_a_link = {"ESTOQUE", "BLOQUEIO", "DESBLOQUEIO", "PEDIDO", "BLOCO", "DESLIGAMENTO"}
    assert set(VERBS) == of_the_swarm | of_a_link


@given(st.binary(max_size=200))
@example(b'{"tipo":"PEDIDO","block":' + b"[" * 100_000)
@example(b'"\xff"')
@example(b'{"tipo":"REGISTRO","peer":"\\ud800"}')
def test_arbitrary_bytes_are_a_message_or_a_remote_error(data: bytes):
    try:
        message = messages.decode(data)
    except RemoteError:
        return
    assert messages.decode(messages.encode(message)) == message


@given(EVERY, st.data())
def test_a_message_with_bytes_changed_is_a_message_or_a_remote_error(message: Message, data: st.DataObject):
    said = bytearray(messages.encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        said[data.draw(st.integers(0, len(said) - 1))] = data.draw(st.integers(0, 255))
    try:
        messages.encode(messages.decode(said))
    except RemoteError as error:
        assert "not a message" in str(error)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "null",
        "[]",
        "{}",
        "not json",
        '{"tipo":"OLA"}',
        '{"tipo":7}',
        '{"tipo":"PEDIDO"}',
        '{"tipo":"PEDIDO","block":"3"}',
        '{"tipo":"PEDIDO","block":3.5}',
        '{"tipo":"PEDIDO","block":-1}',
        '{"tipo":"PEDIDO","block":2147483648}',
        '{"tipo":"PEDIDO","block":99999999999999999999999999}',
        '{"tipo":"PEDIDO","block":3,"extra":1}',
        '{"tipo":"PEDIDO","block":3}{}',
        '{"tipo":"ESTOQUE","new":[1,-1]}',
        '{"tipo":"ESTOQUE","whole":7}',
        '{"tipo":"REGISTRO"}',
        '{"tipo":"REGISTRO","peer":""}',
        '{"tipo":"REGISTRO","peer":"' + "a" * 129 + '"}',
        '{"tipo":"REGISTRO","peer":"a","port":65536}',
        '{"tipo":"NOVO_PEER","peers":[{"peer":"a"}]}',
        '{"tipo":"NOVO_PEER","peers":[{"peer":"a","host":"' + "a" * 70 + '","port":1}]}',
        '{"tipo":"NOVO_PEER","peers":[{"peer":"a","host":"","port":1}]}',
        '{"tipo":"NOVO_PEER","peers":[{"peer":"a","host":"a..b","port":1}]}',
        '{"tipo":"NOVO_PEER","peers":[{"peer":"a","host":"a\\n","port":1}]}',
        '{"tipo":"NOVO_PEER","peers":[{"peer":"a\\u001b[2J","host":"a","port":1}]}',
        '{"tipo":"REGISTRO","peer":"a","host":"-a"}',
        '{"tipo":"REGISTRO","peer":"a","proof":"' + "a" * 129 + '"}',
        '{"tipo":"DESLIGAMENTO","why":"' + "a" * 201 + '"}',
    ],
)
def test_an_unknown_tipo_and_wrong_fields_are_a_remote_error(said: str):
    with pytest.raises(RemoteError, match="not a message"):
        messages.decode(said.encode())


@given(st.text(max_size=80) | st.from_regex("[a-c.:%-]{1,70}") | st.from_regex("([a-c]{1,70}[.])+"))
@example("a" * 70)
@example("a..b")
@example("::..")
@example("\udcff")
def test_a_host_that_was_heard_can_be_looked_up_whatever_it_is(host: str):
    """A name that no resolver takes would raise in the middle of a dial."""
    try:
        said = messages.judged(messages.NovoPeer((messages.PeerAddress("ana", host, 1),)))
    except RemoteError:
        return
    assert isinstance(said, messages.NovoPeer)
    said.peers[0].host.encode("idna")


def test_what_an_actor_call_brings_is_judged_as_what_a_link_brings():
    for wrong in (messages.Pedido(-1), messages.Pedido("3"), messages.Pedido(object()), messages.Registro(peer="")):  # type: ignore[arg-type]
        with pytest.raises(RemoteError, match="not a message"):
            messages.judged(wrong)
    assert messages.judged(messages.Pedido(3)) == messages.Pedido(3)


# messages in words


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (messages.Pedido(3), "PEDIDO 3"),
        (messages.Bloco(3), "BLOCO 3"),
        (messages.Estoque(new=(1, 2)), "ESTOQUE +1 2"),
        (messages.Estoque(whole="7"), "ESTOQUE 0 1 2"),
        (messages.Estoque(whole="0"), "ESTOQUE nothing"),
        (messages.Estoque(whole="3", new=(9,)), "ESTOQUE 0 1 +9"),
        (messages.Estoque(whole="-1"), "ESTOQUE unreadable"),
        (messages.Estoque(), "ESTOQUE"),
        (messages.Estoque(new=tuple(range(10))), "ESTOQUE +0 1 2 3 4 5 6 7 and 2 more"),
        (messages.ListaPeers((messages.PeerAddress("peer-01", "127.0.0.1", 1),)), "LISTA_PEERS peer-01"),
        (messages.ListaPeers(), "LISTA_PEERS nobody"),
        (messages.Bloqueio(), "BLOQUEIO"),
        (messages.Registro(peer="peer-01", alone=True), "REGISTRO alone"),
        (messages.Desligamento("peer-01", "complete"), "DESLIGAMENTO complete"),
    ],
)
def test_a_message_is_one_short_line(message, words):
    assert messages.in_words(message) == words


@given(EVERY)
def test_every_message_has_words_that_begin_with_its_verb(message: Message):
    assert messages.in_words(message).startswith(message.verb)
