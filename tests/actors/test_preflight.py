"""Before a push: all nodes are asked at once, and all that is wrong is said together, with what to do."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from delivered import delivered

import minibit
from minibit.actors.disk.survey import PROBE, DestSurvey, NodeSurvey, State, survey, versions
from minibit.actors.driver import everywhere, preflight, visits
from minibit.actors.driver.cluster import ClusterNode, nodes
from minibit.actors.driver.everywhere import HERE, NodeAnswers, on_each
from minibit.actors.driver.preflight import Surveyed, faults, survey_nodes
from minibit.actors.driver.visits import Meeting, free_port, meet

ANA, BOB, EVA = (ClusterNode(name * 16, f"10.0.0.{at}") for at, name in enumerate("abe", 1))
GIB = 1 << 30


def node(state: State = "absent", **changes: Any) -> NodeSurvey:
    """A node where all is well; `changes` of it, or of its destination."""
    dest: dict[str, Any] = {"path": "/data/model", "state": state, "folder": "/data", "free_bytes": 100 * GIB}
    dest |= {name: changes.pop(name) for name in list(changes) if name in DestSurvey.__struct_fields__}
    plain: dict[str, Any] = {"versions": versions(), "system": "", "python": "", "open_files": (1024, 4096), "port": 9}
    return NodeSurvey(**{**plain, "dest": DestSurvey(**dest), **changes})


def content(digest: str, of_bytes: str = "") -> Any:
    """A manifest with that digest."""
    return SimpleNamespace(digest=digest, bytes_digest=of_bytes or digest)


def wrong(survey: NodeSurvey, need_bytes: int | None = None, **more: Any) -> list[str]:
    """What is wrong with one node."""
    return faults(Surveyed({ANA: survey}, {}), need_bytes, **more).get(ANA.host, [])


# faults


def test_where_all_is_well_there_is_no_fault() -> None:
    assert (
        faults(Surveyed({ANA: node(), BOB: node("source")}, {}), 70 * GIB, need_files=100, content=content("d")) == {}
    )


def test_all_faults_of_all_nodes_are_said_together_by_host() -> None:
    mixed = {ANA: node("other", free_bytes=GIB, port=0, port_fault="Address already in use"), BOB: node()}
    found = faults(Surveyed(mixed, {EVA: "it gave no answer"}), 2 * GIB)
    assert found == {
        "10.0.0.3": ["it gave no answer"],
        "10.0.0.1": [
            "/data/model is there already and is other content: move it away, or let it be replaced",
            "no room in /data: 2 GiB needed, 1 GiB free: make room, or give another destination",
            "can't listen at 10.0.0.1 (Address already in use): free a port there, or give other ones",
        ],
    }


def test_nodes_of_one_address_are_told_apart_by_their_ids() -> None:
    twin = ClusterNode("f" * 16, ANA.host)
    assert list(faults(Surveyed({ANA: node(), twin: node("other")}, {}))) == ["10.0.0.1 (ffffffff)"]


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("minibit", "0.0.9", ["it has Minibit 0.0.9, and this machine has {}: install the same"]),
        ("python", "3.9.1", ["it has Python 3.9.1, and this machine has {}: install the same"]),
        ("ray", "2.1.0", ["it has Ray 2.1.0, and this machine has {}: install the same"]),
        ("msgspec", "0.1", []),
    ],
)
def test_another_version_is_named_with_both(name: str, version: str, said: list[str]) -> None:
    ours = versions()
    assert wrong(node(versions={**ours, name: version})) == [text.format(ours[name]) for text in said]


def test_a_newer_patch_of_python_is_no_fault() -> None:
    ours = versions()
    patched = f"{ours['python'].rpartition('.')[0]}.99"
    assert wrong(node(versions={**ours, "python": patched})) == []


@pytest.mark.parametrize("state", ["ours", "other"])
def test_what_may_be_this_very_content_is_left_to_the_store(state: State) -> None:
    there = node(state, digest="d", bytes_digest="e", content_bytes=2 * GIB, free_bytes=0)
    assert wrong(there, 2 * GIB) == wrong(there, 2 * GIB, content=content("e")) == []
    assert wrong(there, 3 * GIB, content=content("d", of_bytes="e")) == []
    assert wrong(there, 3 * GIB, content=content("e"))


def test_an_older_version_gives_way_if_that_is_asked_for_and_both_must_have_room() -> None:
    older = node("ours", digest="d", bytes_digest="d", content_bytes=GIB)
    assert wrong(older, 2 * GIB, content=content("e"), replace=True) == []
    assert wrong(older, 2 * GIB, content=content("e")) == [
        "/data/model is another version, of an earlier push: move it away, or let it be replaced"
    ]
    assert wrong(older, 2 * GIB, content=content("e", of_bytes="d")) == []  # only its dates are others
    full = node("ours", digest="d", content_bytes=GIB, free_bytes=GIB)
    assert [text.partition(":")[0] for text in wrong(full, 2 * GIB, content=content("e"), replace=True)] == [
        "no room in /data"
    ]


def test_what_is_to_be_replaced_is_in_nobodys_way_but_both_must_have_room() -> None:
    assert wrong(node("other"), GIB, replace=True) == []
    assert "no room" in wrong(node("other", free_bytes=1), GIB, replace=True)[0]


def test_what_a_partial_copy_has_already_needs_no_room() -> None:
    assert wrong(node(free_bytes=GIB, partial_bytes=GIB), 2 * GIB) == []
    assert "2 GiB needed, 1 GiB free" in wrong(node(free_bytes=GIB, partial_bytes=GIB), 3 * GIB)[0]


def test_files_need_room_of_their_own_where_a_file_system_counts_them() -> None:
    assert "10 needed, 9 free" in wrong(node(free_files=9), 1, need_files=10)[0]
    assert wrong(node(free_files=None), 1, need_files=10) == []


def test_a_folder_that_cannot_be_written_is_the_only_thing_said_of_it() -> None:
    assert wrong(node("other", fault="can't write in /data: ..."), GIB) == ["can't write in /data: ..."]


def test_a_node_that_only_reads_a_shared_file_system_needs_not_write_there() -> None:
    assert wrong(node(fault="Read-only file system", shares_with=(ANA.node_id, BOB.node_id))) == []


def test_a_push_under_way_an_unreached_neighbour_and_few_open_files_are_faults() -> None:
    assert [
        text.partition(":")[0] for text in wrong(node(busy=True, unreached=("10.0.0.2",), open_files=(64, 64)))
    ] == [
        "another push is at work at /data/model",
        "can't connect to 10.0.0.2",
        "a process may open 64 files only",
    ]


def test_nodes_that_see_each_others_probes_are_one_group() -> None:
    both = (ANA.node_id, EVA.node_id)
    found = {ANA: node(shares_with=both), BOB: node(shares_with=(BOB.node_id,)), EVA: node(shares_with=both)}
    assert Surveyed(found, {}).groups == [[ANA, EVA], [BOB]]


# meeting


def meeting(tag: str, folder: Path, at: int, others: dict[str, int], guests: int, limit_s: float = 10.0) -> Meeting:
    addresses = {name: ("127.0.0.1", port) for name, port in others.items()}
    return Meeting(tag, ["a", "b", "c"], str(folder), b"w" * 16, ("127.0.0.1", at), addresses, guests, limit_s)


def test_nodes_that_meet_reach_each_other_whichever_comes_first(tmp_path: Path) -> None:
    ports = {name: free_port("127.0.0.1", None)[0] for name in "abc"}
    survey(str(tmp_path / "model"), leave="b")
    plans = [
        meeting(name, tmp_path, ports[name], {one: port for one, port in ports.items() if one != name}, 2)
        for name in "abc"
    ]
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(meet, plans)) == [(["b"], [])] * 3


def test_a_node_that_does_not_come_is_named_and_so_is_another_program_at_its_port(tmp_path: Path) -> None:
    stranger = threading.Event()
    silent = free_port("127.0.0.1", None)[0]
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            while not stranger.is_set():
                with other.accept()[0] as guest:
                    guest.sendall(b"SSH-2.0-OpenSSH_9.6")

        threading.Thread(target=greet, daemon=True).start()
        found = meet(meeting("a", tmp_path, 0, {"b": silent, "c": other.getsockname()[1]}, 1, limit_s=0.5))
        stranger.set()
    assert found == ([], ["b", "c"])


def test_a_port_is_found_in_the_range_or_it_is_said_why_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", (port, port)) == (0, "Address already in use")
    assert free_port("127.0.0.1", (port, port)) == (port, "")
    assert free_port("192.0.2.1", None) == (0, "Cannot assign requested address")


# rounds


@pytest.fixture
def in_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Nodes that are threads of this process; `silent` ones give no answer."""
    silent: set[ClusterNode] = set()

    def each(
        there: Any, task: Any, arguments: Any, limit_s: float, env: Any, tell: Any = len, found: Any = None
    ) -> NodeAnswers[Any]:
        found = {} if found is None else found
        with ThreadPoolExecutor(16) as pool:
            calls = {one: pool.submit(task, *arguments(one)) for one in there if one not in silent}
            found.update({one: call.result() for one, call in calls.items()})
            tell(there)
            return NodeAnswers(found, dict.fromkeys(silent & {*there}, "why"))

    monkeypatch.setattr(preflight, "on_each", each)
    monkeypatch.setattr(preflight.connection, "here", lambda: "0")
    return lambda *names: silent.update(names)


def test_a_survey_has_three_rounds_and_leaves_nothing(in_threads: Callable[..., None], tmp_path: Path) -> None:
    there = [ClusterNode(str(at), "127.0.0.1") for at in range(5)]
    in_threads(there[3])
    (tmp_path / "model").mkdir()
    found = survey_nodes(there, str(tmp_path / "model"), source=str(tmp_path / "model"))
    assert found.lost == {there[3]: "why"}
    assert [one.dest.state for one in found.found.values()] == ["source", "other", "other", "other"]
    assert {one.unreached for one in found.found.values()} == {()}
    assert {one.clock_ahead_s for one in found.found.values()} == {0.0}
    assert found.groups == [[one for one in there if one != there[3]]]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("walls", "cut_off", "unreached"),
    [
        ([(0, 1), (2, 1), (3, 1), (4, 1)], [1], {}),
        ([(0, 1), (0, 2), (0, 3)], [], {0: ("10.0.0.1", "10.0.0.2", "10.0.0.3")}),
    ],
    ids=["nothing comes in", "nothing goes out"],
)
def test_the_node_with_the_wall_is_the_one_that_is_blamed(
    in_threads: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    walls: list[tuple[int, int]],
    cut_off: list[int],
    unreached: dict[int, tuple[str, ...]],
) -> None:
    there = [ClusterNode(str(at), f"10.0.0.{at}") for at in range(5)]
    monkeypatch.setattr(visits, "free_port", lambda host, data_ports: (1000 + int(host[-1]), ""))

    def meet_behind_walls(meeting: Meeting) -> visits.Met:
        mine = meeting.at[1] - 1000
        return visits.Met([], [tag for tag, (_, port) in meeting.others.items() if (mine, port - 1000) in walls])

    monkeypatch.setattr(visits, "meet", meet_behind_walls)
    found = survey_nodes(there, str(tmp_path / "model")).found
    assert [there.index(one) for one, survey in found.items() if survey.cut_off] == cut_off
    assert {there.index(one): survey.unreached for one, survey in found.items() if survey.unreached} == unreached


@pytest.mark.parametrize("stage", ["survey", "meeting"])
def test_probes_go_also_when_it_is_interrupted(
    in_threads: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    probes: list[str] = []

    def interrupted(_: object) -> None:
        probes.extend(path.name for path in tmp_path.iterdir())
        raise KeyboardInterrupt

    monkeypatch.setattr(visits, "meet", interrupted)
    with pytest.raises(KeyboardInterrupt):
        survey_nodes([ANA, BOB], str(tmp_path / "model"), tell=interrupted if stage == "survey" else len)
    assert probes
    assert list(tmp_path.iterdir()) == []


def test_nodes_that_have_the_content_need_not_meet_and_write_nothing(
    in_threads: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "film").write_bytes(b"film")
    place, manifest = delivered(tmp_path / "film", tmp_path / "data" / "model")
    before = place.final.parent.stat().st_mtime_ns
    monkeypatch.setattr(visits, "meet", None)
    found = survey_nodes([ANA, BOB], str(place.final), known=manifest.digest).found
    assert [one.dest.has(manifest.digest) for one in found.values()] == [True, True]
    assert place.final.parent.stat().st_mtime_ns == before


@pytest.mark.parametrize(("clock_s", "ahead_s"), [(105.0, 0.0), (110.0, 0.0), (112.5, 2.5), (99.0, -1.0)])
def test_a_clock_is_off_by_no_more_than_can_be_known(clock_s: float, ahead_s: float) -> None:
    assert preflight._ahead_s(clock_s, 100.0, 110.0) == ahead_s


def test_this_machine_alone_needs_no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(everywhere, "ray", None)
    found = survey_nodes([HERE], str(tmp_path / "model"))
    assert list(found.found) == [HERE]
    assert faults(found, 1, need_files=1) == {}
    assert list(tmp_path.iterdir()) == []


# on a cluster


@pytest.mark.ray
def test_a_node_of_a_cluster_is_surveyed_by_a_task(ray_cluster: str, tmp_path: Path) -> None:
    found = survey_nodes(nodes(), str(tmp_path / "model"))
    assert found.lost == {}
    (one,) = found.found.values()
    assert (one.dest.state, one.versions["ray"], one.clock_ahead_s) == ("absent", ray.__version__, 0.0)
    assert one.free_memory_bytes
    assert faults(found, 1) == {}


@pytest.mark.ray
def test_a_node_that_is_dead_and_one_that_is_slow_are_named(ray_cluster: str) -> None:
    dead = ClusterNode("0" * 56, "10.0.0.9")
    found = on_each([dead], visits.free_port, lambda one: ("127.0.0.1", None), 30.0)
    assert (found.found, list(found.failed)) == ({}, [dead])
    assert found.failed[dead].startswith("Ray failed there: ")
    slow = nodes()[0]
    told: list[int] = []

    def sleep() -> None:
        time.sleep(60)

    late = on_each([slow], sleep, lambda one: (), 0.5, tell=told.append)
    assert late.failed == {slow: "it gave no answer within 0 s: see `ray status` there"}
    assert set(told) == {0}


@pytest.mark.ray
@pytest.mark.parametrize("at", [0, 2], ids=["at once", "when all have answered"])
def test_an_interrupt_leaves_no_probe_and_waits_for_no_node(ray_cluster: str, tmp_path: Path, at: int) -> None:
    (here,) = nodes()
    left: list[str] = []

    def interrupt(count: int) -> None:
        if count >= at:
            left.extend(path.name for path in tmp_path.glob(f"{PROBE}*"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        survey_nodes([here, here._replace(host="127.0.0.2")], str(tmp_path / "model"), tell=interrupt)
    assert at == 0 or len(left) == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
def test_a_task_that_nobody_waits_for_any_more_ends_in_good_order(
    ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(everywhere, "CALL_OFF_S", 30.0)
    (here,) = nodes()
    begun, ended = tmp_path / "begun", tmp_path / "ended"

    def sleep() -> None:
        try:
            begun.touch()
            while True:
                time.sleep(0.01)  # an interrupt comes between two of them
        except BaseException:
            ended.touch()
            raise

    def interrupt(count: int) -> None:
        if begun.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on_each([here], sleep, lambda one: (), 60.0, tell=interrupt)
    assert ended.exists()


@pytest.mark.ray
def test_a_node_without_minibit_is_named_with_the_command_that_installs_it(ray_cluster: str) -> None:
    def bare() -> None:
        raise ModuleNotFoundError("No module named 'minibit'")

    (why,) = on_each(nodes(), bare, lambda one: (), 60.0).failed.values()
    assert why == (
        f"there is no Minibit: run `{sys.executable} -m pip install minibit=={minibit.__version__}` there, "
        "or let it be shipped"
    )


@pytest.mark.ray
def test_what_is_shipped_is_where_the_python_of_a_task_looks_for_it(ray_cluster: str, tmp_path: Path) -> None:
    env = preflight.ship_env()

    def shipped() -> list[str]:
        import sys  # noqa: PLC0415
        from pathlib import Path  # noqa: PLC0415

        found = [Path(folder) for folder in sys.path if "py_modules_files" in folder]
        return [str(path.relative_to(folder)) for folder in found for path in folder.rglob("*")]

    (paths,) = on_each(nodes(), shipped, lambda one: (), 60.0, env).found.values()
    assert {"minibit/actors/driver/visits.py", "minibit/rules.py", "blake3/__init__.py"} <= {*paths}
    assert [path for path in paths if path.startswith("msgspec/_core.")]
    assert [path for path in paths if path.endswith(".pyx")] == []
    # pip made caches here; a worker makes its own in that folder, but none imports this module
    assert [path for path in paths if "_testbase." in path] == ["uvloop/_testbase.py"]
    assert survey_nodes(nodes(), str(tmp_path / "model"), env=env).lost == {}
