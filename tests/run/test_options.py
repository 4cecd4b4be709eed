"""Options: one name, one reader, one text for each; presets lie under what is given."""

from pathlib import Path

import msgspec
import pytest

from minibit.errors import OptionError
from minibit.manifest import BLOCK_BYTES_MAX
from minibit.rules import PRESETS, Rules
from minibit.run.options import Initial, Options


def refusal(**given: object) -> str:
    with pytest.raises(OptionError) as refused:
        Options.build(**given)
    assert refused.value.exit_code == 2
    assert refused.value.option in given
    return str(refused.value)


def test_nothing_given_is_the_defaults():
    assert Options.build() == Options()


def test_what_is_none_is_not_given():
    assert Options.build(preset="classic", slots=None, upload=None) == Options.build(preset="classic")


def test_texts_and_numbers_in_base_units_say_the_same():
    said = Options.build(
        peers="50", size="1MiB", block_size="64KiB", upload="4MiB/s", round="500ms", timeout="2m", seed="-3", slots="2"
    )
    numbers = Options.build(
        peers=50, size=1 << 20, block_size=65536, upload=4 << 20, round=0.5, timeout=120, seed=-3, slots=2
    )
    assert said == numbers
    assert said.rules == Rules(round_s=0.5, slots=2)


def test_every_rule_has_an_option():
    given = {field.removesuffix("_s"): getattr(Rules(), field) for field in Rules.__struct_fields__}
    assert Options.build(**given) == Options()


def test_classic_is_the_rules_of_the_original():
    classic = Options.build(preset="classic")
    assert (classic.block_bytes, classic.hash, classic.initial) == (32 * 1024, "sha256", Initial(0.1, 1))
    assert classic.rules == Rules(choker="rarity", guest_rounds=1, economy="off", announce_s=0.1, leave="complete")


def test_bittorrent_is_the_defaults_without_their_economy_and_with_news_by_the_clock():
    assert Options.build(preset="bittorrent").rules == Rules(economy="off", announce_s=0.1)


def test_lan_changes_nothing():
    assert msgspec.structs.replace(Options.build(preset="lan"), preset=None) == Options.build()


def test_blocks_are_large_unless_the_least_limit_makes_them_slow():
    assert Options.build().block_bytes_for(64 << 20) == 1 << 20
    assert Options.build().block_bytes_for(64 << 20, blocks=1_000) == 64 << 10
    assert Options.build(upload="1GB/s", seed_upload="2MiB/s").block_bytes_for(64 << 20) == 128 << 10
    assert Options.build(download="1KiB/s").block_bytes_for(64 << 20) == 64 << 10  # a thousand of them, and no more
    assert Options.build(upload="1KiB/s", block_size="4MiB").block_bytes_for(64 << 20) == 4 << 20
    assert Options.build().block_bytes_for(1 << 40) == 16 << 20 < BLOCK_BYTES_MAX


def test_what_is_given_beside_a_preset_wins():
    mixed = Options.build(preset="classic", initial=0, slots=7, hash="blake3")
    assert (mixed.initial, mixed.rules.slots, mixed.hash) == (Initial(), 7, "blake3")
    assert mixed.rules.choker == "rarity"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_can_be_built(preset):
    assert Options.build(preset=preset).preset == preset


def test_the_initial_share_is_rounded_down_and_what_is_beside_it_added():
    assert Initial(0.1, 1).count(131) == 14
    assert Initial(0.29).count(100) == 29
    assert Initial(1, 1).count(5) == 5
    assert Options.build(initial="0.1+1").initial == Initial(0.1, 1)
    assert Options.build(initial=1e-5).initial == Initial(1e-5)


def test_behaviours_come_as_text_or_dict_and_honest_peers_are_not_counted():
    text = Options.build(behave="free-rider=5,corrupter=1,honest=9,liar=0")
    assert text.behave == {"free-rider": 5, "corrupter": 1}
    assert Options.build(behave={"free-rider": 5, "corrupter": 1}) == text


def test_teams_are_counted_by_name_and_those_of_nobody_left_out():
    options = Options.build(peers=8, teams="random+none=3,free-rider=2,slow=0", behave="liar=1", seed=4)
    assert options.teams == {"random+none": 3, "free-rider": 2}
    assert options == Options.build(peers=8, teams={"random+none": 3, "free-rider": 2}, behave={"liar": 1}, seed=4)


def test_strategies_of_ones_own_are_taken_as_module_and_class():
    assert Options.build(picker="minibit.picker:RarestFirst").rules.picker == "minibit.picker:RarestFirst"
    assert refusal(picker="minibit.picker:Nope").startswith("picker: ")


def test_ports_come_as_text_or_pair():
    assert Options.build(data_ports="20000-20100").data_ports == (20000, 20100)
    assert Options.build(data_ports=(1, 2)).data_ports == (1, 2)


def test_a_folder_may_be_a_path():
    assert Options.build(out=Path("shared")).out == "shared"


def test_a_block_size_of_auto_is_none():
    assert Options.build(preset="classic", block_size="auto").block_bytes is None


@pytest.mark.parametrize(
    ("name", "value", "takes"),
    [
        ("peers", 0, "1 to 100000"),
        ("peers", "five", "a whole number"),
        ("peers", True, "a whole number"),
        ("peers", 2.5, "a whole number"),
        ("size", "64MiBB", "64MiB, 500kB"),
        ("size", 0, "1B to 4TiB"),
        ("block_size", "1GiB", "1B to 64MiB"),
        ("hash", "md5", "blake3 or sha256"),
        ("preset", "fast", "classic or bittorrent or lan"),
        ("picker", "best", "rarest-first, random, sequential or module:Class"),
        ("slots", -1, "0 to 10000"),
        ("round", "0s", "1ms to 1000h"),
        ("leave", "soon", "never or complete"),
        ("initial", 1.5, "a share from 0 to 1"),
        ("initial", "0.1+", "a share from 0 to 1"),
        ("initial", "nan", "a share from 0 to 1"),
        ("behave", "slow", "e.g. free-rider=5,corrupter=1"),
        ("behave", "slow=11", "needs 11 peers in all, and there are 10: give more peers, or fewer"),
        ("teams", "random", "e.g. honest=10,random+none=5"),
        ("teams", "random=1,random=2", "each team once"),
        ("teams", "random=8,slow=3", "needs 11 peers in all, and there are 10: give more peers, or smaller teams"),
        ("upload", "4", "4MiB/s, 500kB/s, 16Mbit/s"),
        ("seed_upload", 0, "1B/s to 1TB/s"),
        ("world", "moon", "ray or sim"),
        ("control", "radio", "links or actors"),
        ("seals", "wax", "on or off"),
        ("address", "", "a text that is not empty"),
        ("data_ports", "20100-20000", "20000-20100"),
        ("data_ports", 5, "20000-20100"),
        ("seed", "x", "a whole number"),
        ("timeout", "soon", "10s, 250ms, 2m, 1h"),
        ("name", "a/b", "letters, digits"),
        ("keep", "yes", "True or False"),
    ],
)
def test_a_wrong_value_names_the_option_the_value_and_what_it_takes(name, value, takes):
    said = refusal(**{name: value})
    assert said.startswith(f"{name}: ")
    assert str(value) in said
    assert takes in said


def test_of_several_behaviours_the_wrong_one_is_named():
    assert refusal(behave="slow=1,evil=1").startswith("behave: behaviour 'evil' is unknown")
    assert (
        refusal(behave="slow=3", teams="random=8")
        == "teams: 'random=8' needs 11 peers in all, and there are 10: give more peers, or smaller teams"
    )
    assert refusal(behave={"slow": 1, "liar": -1}) == "behave: -1 won't do: give 0 to 100000"


def test_an_unknown_option_is_answered_with_the_nearest():
    assert refusal(slot=3) == "there is no option 'slot': did you mean slots?"
    assert "give peers, size, " in refusal(zzz=3)
