"""Downloads from a server that behaves badly on purpose."""

import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from talking.video import fetch

DATA = np.random.default_rng(0).bytes(3_000_000)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.headers.get("Range"))
        if self.path == "/gone":
            self.send_error(404)
            return
        if self.path == "/busy" and len(self.server.asked) == 1:
            self.send_response(429)
            self.send_header("Retry-After", "1")
            self.end_headers()
            return
        start = 0
        # The file that it has is of one version; of another's half it sends the whole.
        is_same = self.headers.get("If-Range", '"now"') == '"now"'
        if is_same and (wanted := self.headers.get("Range")) and self.path != "/no_ranges":
            start = int(re.match(r"bytes=(\d+)-", wanted)[1])
            if start >= len(DATA):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(DATA)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(DATA) - start))
        self.send_header("ETag", '"now"')
        self.end_headers()
        # The first answer to /breaks ends in the middle.
        ends = start + 1_000_000 if self.path == "/breaks" and len(self.server.asked) == 1 else len(DATA)
        self.wfile.write(DATA[start:ends])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()


def fetched(url, folder, **options):
    file, state = folder / "v.bin", folder / "v.json"
    reason = fetch.fetch(url, file, state, pause_s=0.01, **options)
    assert json.loads(state.read_text())["reason"] == fetch.reason_of(file) == reason
    return reason, file


def test_a_file_is_downloaded_whole(server, tmp_path):
    reason, file = fetched(f"{server.url}/v.mp4", tmp_path, sha256=hashlib.sha256(DATA).hexdigest())
    assert reason == "" and file.read_bytes() == DATA
    assert {found.name for found in tmp_path.iterdir()} == {"v.bin", "v.json"}


def test_a_download_that_breaks_off_goes_on(server, tmp_path):
    reason, file = fetched(f"{server.url}/breaks", tmp_path)
    assert reason == "" and file.read_bytes() == DATA
    assert server.asked[0] is None and int(server.asked[1].removeprefix("bytes=").rstrip("-")) > 0


@pytest.mark.parametrize("path", ["/v.mp4", "/no_ranges"])
@pytest.mark.parametrize("have", [1_500_000, len(DATA)])
def test_what_an_earlier_run_left_is_used(server, tmp_path, path, have):
    fetch.part_of(tmp_path / "v.bin", server.url + path).write_bytes(DATA[:have])
    reason, file = fetched(server.url + path, tmp_path)
    assert reason == "" and file.read_bytes() == DATA and server.asked == [f"bytes={have}-"]


def test_a_wrong_checksum_keeps_nothing(server, tmp_path):
    reason, file = fetched(f"{server.url}/v.mp4?token=secret", tmp_path, sha256="0" * 64)
    assert hashlib.sha256(DATA).hexdigest() in reason and "secret" not in reason
    assert file.stat().st_size == 0 and {found.name for found in tmp_path.iterdir()} == {"v.bin", "v.json"}
    # Nor is it tried again by every run: the same bytes would come.
    assert fetch.tries_in_vain(tmp_path / "v.json") == 0


def test_half_of_another_address_or_of_an_older_file_is_not_gone_on_with(server, tmp_path):
    fetch.part_of(tmp_path / "v.bin", f"{server.url}/mirror").write_bytes(b"x" * 1000)
    reason, file = fetched(f"{server.url}/v.mp4", tmp_path)
    assert reason == "" and file.read_bytes() == DATA and server.asked == [None]
    part = fetch.part_of(tmp_path / "v.bin", f"{server.url}/v.mp4")
    part.write_bytes(b"x" * 1000)
    part.with_name(f"{part.name}.version").write_text('"then"')
    reason, file = fetched(f"{server.url}/v.mp4", tmp_path)
    assert reason == "" and file.read_bytes() == DATA and server.asked == [None, "bytes=1000-"]


def test_a_server_that_is_busy_is_given_the_time_it_asks_for(server, tmp_path):
    began = time.monotonic()
    reason, file = fetched(f"{server.url}/busy", tmp_path)
    assert reason == "" and file.read_bytes() == DATA and time.monotonic() - began >= 1


def test_what_cannot_be_had_gives_a_reason(server, tmp_path):
    reason, file = fetched(f"{server.url}/gone", tmp_path)
    assert "404" in reason and "v.json" in reason and file.stat().st_size == 0 and len(server.asked) == 1
    reason, _ = fetched("http://user:secret@127.0.0.1:9/v.mp4", tmp_path)
    assert "127.0.0.1:9" in reason and "secret" not in reason and reason.endswith(".")


def test_only_what_may_have_more_luck_is_tried_again(server, tmp_path):
    for name, url in {"gone": f"{server.url}/gone", "down": "http://127.0.0.1:9/v", "whole": f"{server.url}/v"}.items():
        fetch.fetch(url, tmp_path / f"{name}.bin", tmp_path / f"{name}.json", tries=2, pause_s=0.01)
    (tmp_path / "old.json").write_text('{"reason": ""}')
    tries = {name: fetch.tries_in_vain(tmp_path / f"{name}.json") for name in ("gone", "down", "whole", "new", "old")}
    assert tries == {"gone": 2, "down": 3, "whole": 2, "new": 0, "old": 0}
