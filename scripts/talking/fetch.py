"""Download a video by http(s), going on where an earlier try broke off."""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from talking.aside import written_aside
from talking.errors import InputError

_TRIES = 3
_CONNECT_S, _SILENCE_S = 20, 60
_CHUNK = 1 << 16


def fetch(url: str, file: Path, state: Path, sha256: str = "", tries: int = 0, pause_s: float = 2.0) -> str:
    """Download `url` to `file` and return "", or leave `file` without bytes and return why in one sentence.

    The reason is also written to `state`, as json {"reason": ..., "try_again": ..., "tries": ...}: whether another time may
    have more luck, and how often it had been tried in vain before. An unfinished download stays beside `file` with the
    suffix .part and is gone on with then. `sha256` is the checksum that the file must have, if any.
    """
    part = file.with_name(file.name + ".part")
    file.parent.mkdir(parents=True, exist_ok=True)
    reason, is_final = "", True
    try:
        failure, is_final = download(url, part, pause_s)
        if failure:
            next_step = (
                f"correct the address, or run with --forcerun {state}" if is_final else "the next run tries again"
            )
            raise InputError(f"{_shown(url)} could not be downloaded ({failure}); {next_step}.")
        with part.open("rb") as whole:
            found = hashlib.file_digest(whole, "sha256").hexdigest()
        if sha256 and found != sha256.lower():
            part.unlink()
            raise InputError(
                f"{_shown(url)} has the SHA-256 {found}, not the sheet's; correct the sheet, or run with --forcerun {state}."
            )
        part.replace(file)
    except InputError as error:
        reason = str(error)
        file.write_bytes(b"")
    with written_aside(state) as aside:
        state_of = {"reason": reason, "try_again": bool(reason) and not is_final, "tries": tries}
        aside.write_text(json.dumps(state_of, ensure_ascii=False) + "\n", encoding="utf-8")
    return reason


def tries_in_vain(state: Path) -> int:
    """Return how often a download has failed for a reason that may pass, by the state that the last try left, if any."""
    if not state.exists():
        return 0
    last = json.loads(state.read_text(encoding="utf-8"))
    return last.get("tries", 0) + last.get("try_again", False)


def reason_of(file: Path) -> str:
    """Return why a download failed, by the state written beside it; "" if it did not."""
    return json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))["reason"]


def download(url: str, part: Path, pause_s: float = 2.0, headers: Mapping[str, str] | None = None) -> tuple[str, bool]:
    """Download `url` to `part`, going on with what is there.

    Return "" or why it failed after several tries, and whether there is nothing to be gained by another. `headers` are sent along, for servers that ask for a token.
    """
    import requests

    failure, is_final = "", True
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(pause_s * 2**attempt)
        try:
            failure, is_final = _try(url, part, headers or {})
        except requests.RequestException as error:
            failure, is_final = type(error).__name__, isinstance(error, requests.exceptions.InvalidURL)
        if not failure or is_final:
            break
    return failure, is_final


def _try(url: str, part: Path, sent: Mapping[str, str]) -> tuple[str, bool]:
    """Get what is missing of a download; return what went wrong ("" if nothing) and whether trying again is useless."""
    import requests
    from tqdm import tqdm

    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity", **sent} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=(_CONNECT_S, _SILENCE_S)) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            total = re.search(r"/(\d+)$", answer.headers.get("Content-Range", ""))
            if total and int(total[1]) == have:
                return "", True
            part.unlink()
            return "the file there has changed", False
        if not answer.ok:
            return f"the server answers {answer.status_code} {answer.reason}", answer.status_code < 500
        begins = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
        goes_on = answer.status_code == requests.codes.partial_content and begins and int(begins[1]) == have
        length = answer.headers.get("Content-Length")
        wanted = None if length is None else int(length) + (have if goes_on else 0)
        with (
            part.open("ab" if goes_on else "wb") as out,
            tqdm(total=wanted, initial=out.tell(), unit="B", unit_scale=True, desc=_shown(url)) as bar,
        ):
            for chunk in answer.iter_content(_CHUNK):
                bar.update(out.write(chunk))
    if wanted is not None and part.stat().st_size != wanted:
        return f"only {part.stat().st_size} of {wanted} bytes came", False
    return "", False


def _shown(url: str) -> str:
    """Return the address without what may be secret in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
