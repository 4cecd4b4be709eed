"""The summary of a run that went well, for tests of rooms that show one."""

from minibit.run.summary import ContentSummary, MessageCounts, Summary, Times, Traffic

DONE = Summary(
    run="tuesday",
    world="ray",
    preset=None,
    seed=1,
    content=ContentSummary(name="film.mp4", bytes=4_300_000, blocks=132, block_bytes=32_768, digest="blake3:00"),
    peers=3,
    completed=3,
    verified=3,
    nodes=1,
    seconds=Times(spawn=1.0, transfer=2.0, first=1.5, median=1.75, last=2.0, verify=0.1, total=3.123456789),
    bytes=Traffic(moved=12_900_000, wasted=0, seed_sent=5_000_000, control=10_000),
    goodput_bps=12_900_000 / 2.0,
    bound_s=None,
    efficiency=None,
    fairness_jain=0.987654321,
    actor_calls=40,
    messages=MessageCounts(PEDIDO=396, BLOCO=396),
    failed=[],
)
