"""The four media of the original (an image, a document, a song, a film), made here and decoded to the end.

Real encoders make them: Pillow the PNG and the PDF, ffmpeg with LAME and x264 the MP3 and the MP4, in the sizes with
which the original was shown. On one machine the bytes are the same every time; another version of an encoder may give
others. Real decoders prove that a copy opens whole: every pixel, every picture of every page, every frame and second.
A decoder is no hash: it proves that a file can be used, and the swarm's digests prove that it is the same.
"""

from __future__ import annotations

import functools
import io
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import imageio_ffmpeg
import pypdf
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageStat
from pypdf.errors import PyPdfError

from minibit.errors import IntegrityError

SONG_S = 62
FILM_S = 20
PAGES = 6
PHOTO_SIZE = (1024, 768)
PAGE_SIZE = (595, 842)  # A4 at 72 dpi
JPEG_STRAYS = 5.0  # the most that the mean of a page and colour may differ, of 255

_EXACT = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact")


class MediaError(IntegrityError):
    """A copy does not open whole; the text says where the decoder failed."""


class Medium(NamedTuple):
    """One of the four: the name of its file, its encoder, and its decoder (`MediaError` if the decoder fails)."""

    name: str
    encode: Callable[[Path], object]
    decode: Callable[[Path], None]

    def make(self, folder: Path) -> Path:
        """Make the file in `folder`."""
        path = folder / self.name
        self.encode(path)
        return path


def open_whole(path: Path) -> None:
    """Decode the medium at `path` to its end; the suffix chooses the decoder. `MediaError` if it fails."""
    MEDIA[path.suffix.lstrip(".")].decode(path)


# Image and document


def photo(size: tuple[int, int], seed: int) -> Image.Image:
    """A picture that compresses like a photograph: soft light, blurred shapes, and the grain of a film."""
    chance = random.Random(f"photo {seed}")

    def channel() -> Image.Image:
        light = ImageChops.invert(Image.radial_gradient("L")).resize(size)
        shapes = _noise((12, 9), chance).resize(size, Image.Resampling.BICUBIC)
        grain = _noise(size, chance).filter(ImageFilter.GaussianBlur(1))
        return Image.blend(Image.blend(light, shapes, 0.5), grain, 0.25)

    return Image.merge("RGB", (channel(), channel(), channel()))


def _noise(size: tuple[int, int], chance: random.Random) -> Image.Image:
    return Image.frombytes("L", size, chance.randbytes(size[0] * size[1]))


def _encode_image(path: Path) -> None:
    photo(PHOTO_SIZE, seed=1).save(path)


def _decode_image(path: Path) -> None:
    try:
        with Image.open(path) as image:
            image.load()
            if image.size != PHOTO_SIZE:
                raise MediaError(f"{path}: {image.size} pixels, not {PHOTO_SIZE}")
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for a broken PNG
        raise MediaError(f"{path}: {error}") from None


def _encode_document(path: Path) -> None:
    pages = [_page(number) for number in range(1, PAGES + 1)]
    undated = {"creationDate": None, "modDate": None}  # otherwise the bytes would depend on the time
    pages[0].save(path, "PDF", save_all=True, append_images=pages[1:], title="Minibit", quality=90, **undated)


@functools.cache
def _page(number: int) -> Image.Image:
    """A page like a scan: a heading, lines of words, a picture, and the grain of the paper."""
    chance = random.Random(f"page {number}")
    page = Image.new("RGB", PAGE_SIZE, "white")
    draw = ImageDraw.Draw(page)
    draw.text((60, 50), f"{number}. One file, many peers", fill="black", font_size=22)
    words = ("tracker", "peer", "block", "rarest", "first", "inventory", "neighbour", "slot", "guest", "swarm")
    for line in range(24):
        draw.text((60, 100 + 16 * line), " ".join(chance.choices(words, k=11)), fill="black", font_size=11)
    page.paste(photo((475, 290), seed=number), (60, 500))
    paper = _noise(PAGE_SIZE, chance).point(lambda value: value // 8)
    return ImageChops.subtract(page, Image.merge("RGB", (paper, paper, paper)))


def _decode_document(path: Path) -> None:
    try:
        with pypdf.PdfReader(path, strict=True) as reader:
            if len(reader.pages) != PAGES:
                raise MediaError(f"{path}: {len(reader.pages)} pages, not {PAGES}")
            for number, page in enumerate(reader.pages, start=1):
                picture = Image.open(io.BytesIO(page.images[0].data))
                # a JPEG has no checksum: only its pixels tell whether a part is wrong
                strayed = max(ImageStat.Stat(ImageChops.difference(picture, _page(number))).mean)
                if strayed > JPEG_STRAYS:
                    raise MediaError(f"{path}: page {number} is not as it was drawn")
    except (PyPdfError, OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        # pypdf raises many kinds of errors for a broken file
        raise MediaError(f"{path}: {error}") from None


# Song and film


def _encode_song(path: Path) -> None:
    """62 s at a constant 256 kbit/s: a chord over pink noise."""
    chord = "+".join(f"0.15*sin(2*PI*{pitch}*t)" for pitch in (220, 277.18, 329.63))
    _ffmpeg(
        *("-f", "lavfi", "-i", f"aevalsrc='{chord}':s=44100:d={SONG_S}"),
        *("-f", "lavfi", "-i", f"anoisesrc=color=pink:amplitude=0.3:seed=1:r=44100:d={SONG_S}"),
        *("-filter_complex", "[0][1]amix=inputs=2"),
        *("-c:a", "libmp3lame", "-b:a", "256k", *_EXACT, str(path)),
    )


def _encode_film(path: Path) -> None:
    """20 s of a moving test picture with grain, 640x360, and a tone."""
    _ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=size=640x360:rate=25:duration={FILM_S}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:duration={FILM_S}"),
        *("-vf", "noise=alls=20:allf=t:all_seed=1", "-pix_fmt", "yuv420p"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-b:v", "1575k", "-maxrate", "1575k", "-bufsize", "1575k"),
        *("-c:a", "aac", "-b:a", "96k", "-threads", "1", *_EXACT, str(path)),
    )


def _decode_stream(path: Path, streams: str, seconds: float) -> None:
    """Decode everything. The decoder must print nothing, and the stream must be as long as it was made."""
    told = _ffmpeg("-xerror", "-i", str(path), "-map", "0", "-progress", "pipe:1", "-f", "null", "-")
    ends = [line.partition("=")[2] for line in told.splitlines() if line.startswith("out_time_us=")]
    played_s = int(ends[-1]) / 1e6 if ends and ends[-1].isdigit() else 0.0
    if abs(played_s - seconds) > 0.1:
        raise MediaError(f"{path}: {played_s:.2f} s of {streams}, not {seconds} s")


def _ffmpeg(*arguments: str) -> str:
    """The standard output of ffmpeg; `MediaError` if it fails or prints an error."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or done.stderr:
        complaint = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise MediaError(f"ffmpeg: {complaint[0]}")
    return done.stdout


MEDIA = {
    "png": Medium("photo.png", _encode_image, _decode_image),
    "pdf": Medium("document.pdf", _encode_document, _decode_document),
    "mp3": Medium("song.mp3", _encode_song, functools.partial(_decode_stream, streams="sound", seconds=SONG_S)),
    "mp4": Medium("film.mp4", _encode_film, functools.partial(_decode_stream, streams="film", seconds=FILM_S)),
}
