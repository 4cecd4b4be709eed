"""The rules that every carrier of messages obeys, real links and simulated ones.

The two worlds may not import each other, so the constants that both need stand here, once.
"""

from __future__ import annotations

from minibit.messages import Estoque, Pedido

PREFIX_BYTES = 8  # the prefix of every frame: the lengths of its header and its payload
SEAL_BYTES = 8  # the seal behind the head of every frame on a proven link
FRAME_BYTES = PREFIX_BYTES + SEAL_BYTES  # of a frame on a proven link, beside its message and its payload
PASSING = frozenset({Estoque, Pedido})  # may go between two parts of a block; other messages wait for its end
DIAL_S = 5.0  # a dial without an answer is given up after this
IDLE_S = 120.0  # a link is closed when its neighbour was silent for this long
