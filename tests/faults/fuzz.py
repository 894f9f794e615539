"""Inputs gone bad: damaged files, mangled sheets and configs, hostile names; seeded."""

import random
from collections.abc import Callable
from typing import Any

_MARKS = [
    b"\t",
    b"\n",
    b"\r",
    b'"',
    b"\0",
    b"\xff\xfe",
    b",",
    b"#",
    b"../",
    b"film:",
    b"http://",
    b"$(id)",
    b"{v}",
    b" ",
]
HOSTILE_NAMES = [
    "$(touch canary).mp4",
    "`touch canary`.mp4",
    ";touch canary;.mp4",
    "| touch canary #.mp4",
    "&& touch canary.mp4",
    "'; touch canary; '.mp4",
    "\\.mp4",
    "-i.mp4",
    "--help",
    "*.mp4",
    "{wildcards.video}.mp4",
    "%s%n.mp4",
    "new\nline.mp4",
    "tab\u00a0space .mp4",
    "\u202egpj.mp4",
    "../../../../../../etc/passwd",
    "/dev/zero",
    "/dev/stdin",
    "/proc/self/mem",
    ".",
]


def damaged(data: bytes, choose: random.Random) -> bytes:
    """Return a file's bytes with one kind of damage."""
    return choose.choice(_DAMAGES)(data, choose)


def mangled_sheet(text: bytes, choose: random.Random) -> bytes:
    """Return a sheet with up to four edits: marks put in, bytes changed, lines and fields dropped, doubled or swapped."""
    for _ in range(choose.randint(1, 4)):
        text = choose.choice([_insert_mark, _flip_bits, _shuffle_lines, _shuffle_fields, _truncate])(text, choose)
    return text


def mangled_config(config: dict[str, Any], choose: random.Random) -> dict[str, Any]:
    """Return a config in which some values, at any depth, are something else."""
    wrong = [
        None,
        -1,
        1e308,
        float("nan"),
        True,
        "",
        "big",
        "$(id)",
        [],
        [None],
        {},
        {"a": {"b": []}},
        "x" * 5000,
        2**70,
    ]
    out = {
        k: mangled_config(v, choose) if isinstance(v, dict) and choose.random() < 0.7 else v for k, v in config.items()
    }
    for _ in range(choose.randint(0, 2)):
        key = choose.choice([*out, "gaits", "", "__class__"]) if out else "none"
        out[key] = choose.choice(wrong)
    return out


def _flip_bits(data: bytes, choose: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(choose.choice([1, 8, 64])):
        if out:
            out[choose.randrange(len(out))] ^= 1 << choose.randrange(8)
    return bytes(out)


def _truncate(data: bytes, choose: random.Random) -> bytes:
    return data[: choose.randrange(len(data) + 1)]


def _drop_segment(data: bytes, choose: random.Random) -> bytes:
    at, length = choose.randrange(len(data) + 1), choose.randint(1, max(1, len(data) // 3))
    return data[:at] + data[at + length :]


def _repeat_segment(data: bytes, choose: random.Random) -> bytes:
    at, length = choose.randrange(len(data) + 1), choose.randint(1, max(1, len(data) // 3))
    return data[: at + length] + data[at:]


def _blank_segment(data: bytes, choose: random.Random) -> bytes:
    at, length = choose.randrange(len(data) + 1), choose.randint(1, 4096)
    return data[:at] + choose.choice([b"\0", b"\xff"]) * len(data[at : at + length]) + data[at + length :]


def _change_head(data: bytes, choose: random.Random) -> bytes:
    return choose.randbytes(choose.randint(1, 64)) + data[choose.randint(0, 64) :]


def _change_box_length(data: bytes, choose: random.Random) -> bytes:
    """Give a box of an mp4 another length."""
    names = [b"moov", b"mdat", b"trak", b"stbl", b"stsz", b"stco", b"stts", b"ctts", b"mdhd", b"tkhd", b"avcC", b"esds"]
    at = data.find(choose.choice(names))
    if at < 4:
        return _flip_bits(data, choose)
    length = choose.choice([0, 1, 7, 2**31 - 1, 2**32 - 1, choose.randrange(2**32)])
    return data[: at - 4] + length.to_bytes(4, "big") + data[at:]


def _insert_mark(data: bytes, choose: random.Random) -> bytes:
    at = choose.randrange(len(data) + 1)
    return data[:at] + choose.choice(_MARKS) + data[at:]


def _shuffle(pieces: list[bytes], choose: random.Random) -> list[bytes]:
    pieces = list(pieces)
    n = choose.randrange(len(pieces))
    match choose.choice(["drop", "double", "swap"]):
        case "drop":
            del pieces[n]
        case "double":
            pieces.insert(n, pieces[n])
        case "swap":
            m = choose.randrange(len(pieces))
            pieces[n], pieces[m] = pieces[m], pieces[n]
    return pieces


def _shuffle_lines(data: bytes, choose: random.Random) -> bytes:
    return b"\n".join(_shuffle(data.split(b"\n"), choose))


def _shuffle_fields(data: bytes, choose: random.Random) -> bytes:
    lines = data.split(b"\n")
    n = choose.randrange(len(lines))
    lines[n] = b"\t".join(_shuffle(lines[n].split(b"\t"), choose))
    return b"\n".join(lines)


_DAMAGES: list[Callable[[bytes, random.Random], bytes]] = [
    _flip_bits,
    _truncate,
    _drop_segment,
    _repeat_segment,
    _blank_segment,
    _change_head,
    _change_box_length,
]
