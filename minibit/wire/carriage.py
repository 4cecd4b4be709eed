"""What every carrier of messages obeys, on real links and on simulated ones.

A constant that both worlds need stands here, and in neither of them.
"""

from __future__ import annotations

from minibit.messages import Estoque, Pedido

PREFIX_BYTES = 8  # before the header of every message
PASSING = frozenset({Estoque, Pedido})  # may go between two parts of a block; other messages wait for its end
DIAL_S = 5.0  # a dial that isn't answered is given up
IDLE_S = 120.0  # a link on which the neighbour is silent is closed
