"""The fork server: workers of Ray that are forked, and what they have from the process that Ray started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from minibit.actors import worker
from minibit.actors.driver import fork_server

LIMIT_S = 60
ASKING = Path(worker.__file__)
SERVER = """
import sys
from minibit.actors import forks
forks.WORKER, forks.ROOMS = "told", ("told",)
sys.path.append(sys.argv[2])
forks.main(int(sys.argv[1]), sys.path)
"""
TOLD = """
import json, os, random, signal, sys
if __name__ == "__main__":
    blocked = [int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, [])]
    told = {"arguments": sys.argv[1:], "environment": dict(os.environ), "blocked": blocked, "nice": os.nice(0),
            "chance": random.random(), "parent": os.getppid(), "child": int(signal.getsignal(signal.SIGCHLD))}
    print(json.dumps(told), flush=True)
    sys.stdin.read()
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process is forked on Linux only")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A fork server whose workers say what they have, and its address."""
    (tmp_path / "told.py").write_text(TOLD)
    address = f"minibit-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{address}")
        listener.listen()
        number = listener.fileno()
        command = [sys.executable, "-c", SERVER, str(number), str(tmp_path)]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[number])
    with server:
        yield address, server
        server.kill()


def ask(address: str, *arguments: str, **env: str) -> dict[str, Any]:
    """What a worker says that is started for these arguments."""
    done = subprocess.run(
        [sys.executable, str(ASKING), *arguments],
        env={**os.environ, worker.ADDRESS: address, **env},
        input="",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        preexec_fn=as_ray_does,
        check=True,
    )
    assert done.stderr == ""
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def as_ray_does() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.nice(3)


def test_a_forked_worker_has_what_ray_gave_to_the_process_that_asks(
    served: tuple[str, subprocess.Popen[bytes]],
) -> None:
    address, server = served
    told = ask(address, "--one=1", "two words", OF_THE_RAYLET="ü")
    assert told["parent"] == server.pid
    assert told["arguments"] == ["--one=1", "two words"]
    assert told["environment"]["OF_THE_RAYLET"] == "ü"
    assert worker.ADDRESS not in told["environment"]
    assert told["blocked"] == [signal.SIGINT]
    assert told["nice"] == os.nice(0) + 3
    assert told["child"] == signal.SIG_DFL


def test_forked_workers_have_chance_of_their_own(served: tuple[str, subprocess.Popen[bytes]]) -> None:
    address, _ = served
    assert ask(address)["chance"] != ask(address)["chance"]


def test_a_fork_server_ends_with_its_driver(served: tuple[str, subprocess.Popen[bytes]]) -> None:
    address, server = served
    ask(address)
    assert server.stdin is not None
    server.stdin.close()
    assert server.wait(LIMIT_S) == 0


@pytest.mark.parametrize("more", [[], ["--runtime-env-hash=7"]])
def test_without_an_answer_and_with_a_runtime_environment_a_worker_starts_as_ray_starts_it(
    more: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[list[str]] = []
    asked: list[str] = []
    monkeypatch.setattr(worker, "forked", lambda address: bool(asked.append(address)))
    monkeypatch.setattr(os, "execv", lambda program, arguments: became.append(arguments))
    monkeypatch.setattr(sys, "argv", ["worker.py", "--one=1", *more])
    monkeypatch.setenv(worker.ADDRESS, "nobody")
    worker.main()
    ((_, program, *arguments),) = became
    assert Path(program).name == "default_worker.py"
    assert arguments == ["--one=1", *more]
    assert asked == ([] if more else ["nobody"])


def test_where_no_fork_server_is_nobody_is_asked_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not worker.forked(f"minibit-nobody-{os.getpid()}")


def test_a_fork_server_can_be_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "_servers", [])
    monkeypatch.setenv(worker.ADDRESS, "0")
    assert fork_server.begin() is None
    with fork_server.forking():
        assert os.environ[worker.ADDRESS] == "0"


@pytest.mark.ray
def test_the_workers_of_a_cluster_here_are_forked_and_differ(ray_cluster: str) -> None:
    import ray  # noqa: PLC0415

    class Told:
        async def who(self) -> tuple[int, str, str]:
            from ray import WorkerID  # noqa: PLC0415

            return os.getppid(), ray.get_runtime_context().get_worker_id(), WorkerID.from_random().hex()

    kind: Any = ray.remote(num_cpus=0)(Told)
    actors = [kind.remote() for _ in range(4)]
    parents, ids, others = zip(*ray.get([actor.who.remote() for actor in actors], timeout=LIMIT_S), strict=True)
    for actor in actors:
        ray.kill(actor)
    assert set(parents) == {fork_server.begin()}
    assert len({*ids, *others}) == 8
