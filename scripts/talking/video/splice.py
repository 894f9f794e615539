"""Cut H.264 at any frame without encoding the whole again: only the frames up to the first key frame, and after the last, are.

The new pieces bring their own parameter sets, under a number that the copied pictures do not use; all sets stand in the
file's head, as ISO/IEC 14496-15 allows, so that any player of H.264 shows the pieces as one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import av
import numpy as np

from talking.video import encoding

_KEY, _SETS, _SEQUENCE, _PICTURE, _KEPT_TYPES = 5, (7, 8), 7, 8, (1, 5)
_PROFILES = {66: "baseline", 77: "main", 100: "high"}


@dataclass(frozen=True)
class Parameters:
    """The parameter sets of an H.264 stream whose units are preceded by their length in four bytes."""

    sequence: tuple[bytes, ...]
    picture: tuple[bytes, ...]

    @property
    def profile(self) -> str | None:
        """x264's name of the profile, None if it is not one that x264 writes for ordinary video."""
        return _PROFILES.get(self.sequence[0][1])

    def free_number(self) -> int | None:
        """Return a number that none of the sets has."""
        used = {_first_number(unit[4:]) for unit in self.sequence} | {_first_number(unit[1:]) for unit in self.picture}
        return next((number for number in range(1, 32) if number not in used), None)

    def joined(self, other: "Parameters") -> "Parameters":
        """Return these sets and another stream's."""
        return Parameters(self.sequence + other.sequence, self.picture + other.picture)

    def head(self) -> bytes:
        """Return the sets as an mp4's avcC box has them."""
        level = max(unit[3] for unit in self.sequence)
        out = bytes([1, self.sequence[0][1], self.sequence[0][2], level, 0xFF, 0xE0 | len(self.sequence)])
        out += b"".join(len(unit).to_bytes(2, "big") + unit for unit in self.sequence)
        out += bytes([len(self.picture)]) + b"".join(len(unit).to_bytes(2, "big") + unit for unit in self.picture)
        # 4:2:0, 8 bits a sample, no further sets.
        return out + (b"\xfd\xf8\xf8\x00" if self.sequence[0][1] == 100 else b"")


def parameters_of(head: bytes | None) -> Parameters | None:
    """Return the sets of an mp4's avcC box; None if it is none, or if lengths do not take four bytes."""
    if not head or head[0] != 1 or head[4] & 3 != 3:
        return None
    at, found = 5, []
    for mask in (0x1F, 0xFF):
        units = []
        count, at = head[at] & mask, at + 1
        for _ in range(count):
            length = int.from_bytes(head[at : at + 2], "big")
            units.append(bytes(head[at + 2 : at + 2 + length]))
            at += 2 + length
        found.append(tuple(units))
    return Parameters(*found) if all(found) else None


def units(data: bytes | memoryview) -> Iterator[bytes]:
    """Yield the units of a picture whose lengths precede them in four bytes."""
    at = 0
    while at + 4 < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield bytes(data[at + 4 : at + 4 + length])
        at += 4 + length


@dataclass(frozen=True)
class Plan:
    """How a span of frames is cut: encode [start, copy_start), copy packets [first, last), encode [copy_end, end)."""

    start: int
    copy_start: int
    copy_end: int
    end: int
    first: int
    last: int


def plan(numbers: np.ndarray, keys: np.ndarray, start: int, end: int) -> Plan:
    """Return how to cut frames [start, end) of a stream, by its packets' frame numbers in the order stored and its key packets.

    What is copied begins with a key frame and ends where the packets so far are all the frames up to there. Where hardly
    anything could be copied, nothing is.
    """
    nothing = Plan(start, end, end, end, 0, 0)
    candidates = np.flatnonzero(keys & (numbers >= start) & (numbers < end))
    if not len(candidates):
        return nothing
    first = int(candidates[0])
    copy_start = int(numbers[first])
    after = numbers[first:]
    if after.min() < copy_start:
        return nothing
    # A prefix is whole where its largest frame number is its length.
    whole = np.flatnonzero(np.maximum.accumulate(after) - copy_start == np.arange(len(after)))
    whole = whole[after[0] + whole < end]
    count = int(whole[-1]) + 1
    if count < min(12, (end - start) / 2):
        return nothing
    return Plan(start, copy_start, copy_start + count, end, first, first + count)


def encoded(
    frames: Iterable[av.VideoFrame], like: av.VideoStream, parameters: Parameters, number: int, crf: int
) -> tuple[list[bytes], Parameters]:
    """Return frames as H.264 pictures, in the order shown, and the parameter sets they need."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = like.width, like.height, "yuv420p"
    context.time_base, context.framerate = 1 / like.average_rate, like.average_rate
    for name in ("colorspace", "color_primaries", "color_trc", "color_range"):
        setattr(context, name, getattr(like.codec_context, name))
    context.flags |= av.codec.context.Flags.global_header
    context.options = {
        "crf": str(crf),
        "preset": "veryfast",
        "profile": parameters.profile,
        "bf": "0",
        "g": "50",
        "x264-params": f"{encoding.SAME_BYTES}:sps-id={number}",
    }
    packets = []
    for n, frame in enumerate(frames):
        frame.pts, frame.time_base, frame.pict_type = n, context.time_base, 0
        packets += context.encode(frame)
    packets += context.encode(None)
    sets = _by_start_codes(context.extradata)
    own = Parameters(
        tuple(u for u in sets if u[0] & 0x1F == _SEQUENCE), tuple(u for u in sets if u[0] & 0x1F == _PICTURE)
    )
    pictures = []
    for packet in packets:
        kept = [unit for unit in _by_start_codes(bytes(packet)) if unit[0] & 0x1F in _KEPT_TYPES]
        pictures.append(b"".join(len(unit).to_bytes(4, "big") + unit for unit in kept))
    return pictures, own


def brings_new_sets(packet: bytes | memoryview, parameters: Parameters) -> bool:
    """Return True if a picture changes the parameter sets on its way, after which they cannot be joined with others."""
    known = {*parameters.sequence, *parameters.picture}
    return any(unit[0] & 0x1F in _SETS and unit not in known for unit in units(packet))


def is_key(packet: bytes | memoryview) -> bool:
    """Return True if a picture is one that no later picture looks back past."""
    return any(unit[0] & 0x1F == _KEY for unit in units(packet))


def _by_start_codes(data: bytes) -> list[bytes]:
    pieces = data.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")
    return [piece.rstrip(b"\0") for piece in pieces if piece]


def _first_number(data: bytes) -> int:
    """Return the first Exp-Golomb number of a unit's content."""
    bits = "".join(f"{byte:08b}" for byte in data[:8])
    zeros = bits.index("1")
    return int(bits[zeros : 2 * zeros + 1], 2) - 1
