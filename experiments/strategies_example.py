"""Strategies of one's own, a picker, a choker and a behaviour; docs/strategies.md shows this file and how to run it."""

from itertools import islice

from minibit import inventory
from minibit.behaviour import Honest
from minibit.choker import Choker
from minibit.picker import Picker


class Stream(Picker):
    """The rarest of the next blocks that a viewer needs: plays while it loads, and spreads nearly as well."""

    ahead = 16

    def pick(self, choices, availability):
        soon = inventory.of(islice(inventory.indices(choices), self.ahead))
        _, rarest = availability.rarest(soon)
        return inventory.choice(rarest, self.rng)


class Credit(Choker):
    """Serve the neighbours to which we owe most: what they gave us so far, less what we gave them."""

    def __init__(self, slots, guests, guest_rounds, rng):
        super().__init__(slots, guests, guest_rounds, rng)
        self.credit = {}

    def round(self, rows, seeding):
        for row in rows:
            self.credit[row.peer] = self.credit.get(row.peer, 0.0) + row.gave_bps - row.took_bps
        return super().round(rows, seeding)

    def rank(self, rows, seeding):
        return sorted(rows, key=lambda row: -self.credit.get(row.peer, 0.0))


class Modest(Honest):
    """Announces every other block that it holds, so that half as many want something of it."""

    def claims(self, held, block_count):
        return held & inventory.of(range(0, block_count, 2))
