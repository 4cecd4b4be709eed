"""The four media are what they claim to be, and a copy that lost a block doesn't pass for whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from media import MEDIA, MediaError, open_whole

BLOCK_BYTES = 32 << 10
SIZES = {"png": (0.5e6, 2.5e6), "pdf": (0.5e6, 2.5e6), "mp3": (1.95e6, 2.05e6), "mp4": (4.1e6, 4.4e6)}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("media")
    return {kind: medium.make(folder) for kind, medium in MEDIA.items()}


@pytest.fixture(params=MEDIA)
def original(request: pytest.FixtureRequest, originals: dict[str, Path]) -> Path:
    return originals[request.param]


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(original, tmp_path))


def test_each_medium_opens_whole(original: Path) -> None:
    open_whole(original)


def test_song_and_film_are_as_large_as_the_original_s_and_the_others_of_that_order(original: Path) -> None:
    least, most = SIZES[original.suffix[1:]]
    assert least <= original.stat().st_size <= most


def test_each_medium_made_again_is_the_same_file(original: Path, tmp_path: Path) -> None:
    again = MEDIA[original.suffix[1:]].make(tmp_path)
    assert again.read_bytes() == original.read_bytes()


def test_a_copy_without_its_last_block_does_not_open_whole(copy: Path) -> None:
    data = copy.read_bytes()
    copy.write_bytes(data[: (len(data) - 1) // BLOCK_BYTES * BLOCK_BYTES])
    with pytest.raises(MediaError):
        open_whole(copy)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_a_copy_with_a_block_of_zeros_does_not_open_whole(copy: Path, share: float) -> None:
    block = int(copy.stat().st_size // BLOCK_BYTES * share)
    with copy.open("r+b") as file:
        file.seek(block * BLOCK_BYTES)
        file.write(bytes(BLOCK_BYTES))
    with pytest.raises(MediaError):
        open_whole(copy)


def test_a_copy_with_two_blocks_exchanged_does_not_open_whole(copy: Path) -> None:
    data = bytearray(copy.read_bytes())
    one, other = (slice(block * BLOCK_BYTES, (block + 1) * BLOCK_BYTES) for block in (3, 9))
    data[one], data[other] = data[other], data[one]
    copy.write_bytes(data)
    with pytest.raises(MediaError):
        open_whole(copy)


def test_an_empty_file_does_not_open_whole(copy: Path) -> None:
    copy.write_bytes(b"")
    with pytest.raises(MediaError):
        open_whole(copy)
