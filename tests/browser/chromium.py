"""A headless Chromium, Debian's, driven by Playwright.

`python tests/browser/chromium.py` installs it where it is missing (Debian, as root).
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

# Without them Chromium looks for its makers' servers. Root has no sandbox.
_OPTIONS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync"
_SIZE = {"width": 1400, "height": 900}


def install() -> None:
    """Install Chromium where it is missing."""
    if shutil.which("chromium"):
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


@contextmanager
def browser() -> Iterator:
    """Yield Playwright's browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=shutil.which("chromium"), args=_OPTIONS.split())
        yield chromium
        chromium.close()


@contextmanager
def page(chromium, ignore: Sequence[str] = ()) -> Iterator:
    """Yield a page that may read files and the local machine alone; an error on it, or a request to elsewhere, fails the test.

    Errors that hold a text of `ignore` are expected.
    """
    found = chromium.new_page(viewport=_SIZE)
    faults = []
    found.on("pageerror", lambda error: faults.append(str(error)))
    found.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
    local = ("file://", "blob:", "data:", "http://127.0.0.1")
    found.on("request", lambda request: None if request.url.startswith(local) else faults.append(request.url))
    found.faults = faults
    yield found
    found.close()
    faults = [fault for fault in faults if not any(text in fault for text in ignore)]
    assert not faults, faults


if __name__ == "__main__":
    install()
