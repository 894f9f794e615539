"""Download a video by http(s), continuing where an earlier attempt stopped."""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from talking.core import checksums
from talking.core.atomic import atomic_write
from talking.core.errors import InputError

_TRIES = 3
_CONNECT_S, _SILENCE_S = 20, 60
_CHUNK = 1 << 16
# Statuses after which another attempt may succeed: too slow, too early, too many requests, ...
_PASSING = (408, 425, 429)
_LONGEST_WAIT_S = 120


def fetch(url: str, file: Path, state: Path, sha256: str = "", tries: int = 0, pause_s: float = 2.0) -> str:
    """Download `url` to `file` and return "", or leave `file` empty and return the reason in one sentence.

    The reason is also written to `state`, as json {"reason": ..., "try_again": ..., "tries": ...}: whether another attempt may
    succeed, and the number of failed attempts before. An unfinished download stays beside `file` with the
    suffix .part and is continued then, from the same address. `sha256` is the checksum that the file must have, if any.
    """
    part = part_of(file, url)
    file.parent.mkdir(parents=True, exist_ok=True)
    reason, is_final = "", True
    try:
        failure, is_final = download(url, part, pause_s)
        if failure:
            next_step = (
                f"correct the address, or run with --forcerun {state}" if is_final else "the next run tries again"
            )
            raise InputError(f"{shown(url)} could not be downloaded ({failure}); {next_step}.")
        # A complete but wrong file will not be right at another attempt.
        is_final = True
        found = checksums.sha256(part)
        if sha256 and found != sha256.lower():
            forget(part)
            raise InputError(
                f"{shown(url)} has the SHA-256 {found}, not the sample sheet's; correct the sample sheet, or run with --forcerun {state}."
            )
        part.replace(file)
        forget(part)
    except InputError as error:
        reason = str(error)
        file.write_bytes(b"")
    with atomic_write(state) as aside:
        state_of = {"reason": reason, "try_again": bool(reason) and not is_final, "tries": tries}
        aside.write_text(json.dumps(state_of, ensure_ascii=False) + "\n", encoding="utf-8")
    return reason


def part_of(file: Path, url: str) -> Path:
    """Return the file of an unfinished download, a separate one for each address."""
    return file.with_name(f"{file.name}.{hashlib.sha256(url.encode()).hexdigest()[:12]}.part")


def forget(part: Path) -> None:
    """Remove what is left of a finished download."""
    part.unlink(missing_ok=True)
    _version_of(part).unlink(missing_ok=True)


def _version_of(part: Path) -> Path:
    """Return the file that notes of which version an unfinished download is."""
    return part.with_name(f"{part.name}.version")


def tries_in_vain(state: Path) -> int:
    """Return how often a download has failed for a temporary reason, by the state that the last attempt left, if any."""
    if not state.exists():
        return 0
    last = json.loads(state.read_text(encoding="utf-8"))
    return last.get("tries", 0) + last.get("try_again", False)


def reason_of(file: Path) -> str:
    """Return why a download failed, by the state written beside it; "" if it did not."""
    return json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))["reason"]


def download(url: str, part: Path, pause_s: float = 2.0, headers: Mapping[str, str] | None = None) -> tuple[str, bool]:
    """Download `url` to `part`, continuing what is there.

    Return "" or why it failed after several attempts, and whether another attempt is useless. `headers` are sent along, for servers that ask for a token.
    """
    import requests

    failure, is_final, wait_s = "", True, 0
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(max(pause_s * 2**attempt, wait_s))
        try:
            failure, is_final, wait_s = _try(url, part, headers or {})
        except requests.RequestException as error:
            failure, is_final, wait_s = type(error).__name__, isinstance(error, requests.exceptions.InvalidURL), 0
        if not failure or is_final:
            break
    return failure, is_final


def _try(url: str, part: Path, sent: Mapping[str, str]) -> tuple[str, bool, int]:
    """Get what is missing of a download; return what went wrong ("" if nothing), whether another attempt is useless, and the
    seconds to wait before that."""
    import requests
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    version = _version_of(part)
    headers = {"Accept-Encoding": "identity", **sent}
    if have:
        headers["Range"] = f"bytes={have}-"
        # Of a file that has changed, the server sends the whole.
        if version.exists():
            headers["If-Range"] = version.read_text()
    with requests.get(url, headers=headers, stream=True, timeout=(_CONNECT_S, _SILENCE_S)) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            total = re.search(r"/(\d+)$", answer.headers.get("Content-Range", ""))
            if total and int(total[1]) == have:
                return "", True, 0
            part.unlink()
            return "the file there has changed", False, 0
        if not answer.ok:
            may_pass = answer.status_code >= 500 or answer.status_code in _PASSING
            wait_s = min(_asked_to_wait(answer.headers.get("Retry-After", "")), _LONGEST_WAIT_S)
            return f"the server answers {answer.status_code} {answer.reason}", not may_pass, wait_s
        begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        goes_on = answer.status_code == requests.codes.partial_content and begins and int(begins[1]) == have
        length = answer.headers.get("Content-Length")
        wanted = None if length is None else int(length) + (have if goes_on else 0)
        with (
            part.open("ab" if goes_on else "wb") as out,
            tqdm(total=wanted, initial=out.tell(), unit="B", unit_scale=True, desc=shown(url)) as bar,
        ):
            if not goes_on:
                # Of the file that is empty now.
                _note_version(version, answer.headers.get("ETag", ""))
            for chunk in answer.iter_content(_CHUNK):
                bar.update(out.write(chunk))
    if wanted is not None and part.stat().st_size != wanted:
        return f"only {part.stat().st_size} of {wanted} bytes came", False, 0
    return "", False, 0


def _note_version(version: Path, tag: str) -> None:
    """Note which version of a file is being downloaded, if the server gives a strong one."""
    if tag.startswith('"'):
        version.write_text(tag)
    else:
        version.unlink(missing_ok=True)


def _asked_to_wait(words: str) -> int:
    """Return the seconds of a Retry-After header, 0 where it has none or a date."""
    return int(words) if words.isdigit() else 0


def shown(url: str) -> str:
    """Return the address without what may be secret in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
