"""MediaPipe without what nobody here draws with."""

import subprocess
import sys

import pytest

from conftest import REPO

PARTS = "from mediapipe.python.solution_base import SolutionBase; from mediapipe.framework.formats import rect_pb2"
PREPARE = "from talking.core import mediapipe_parts; mediapipe_parts.prepare()"


@pytest.mark.parametrize("first", ["pass", "import mediapipe"])
def test_parts_are_there_and_the_whole_package_is_imported_only_by_who_asks_for_it(first):
    show = "import sys; print('matplotlib' in sys.modules, 'mediapipe.tasks' in sys.modules)"
    words = [sys.executable, "-c", "\n".join([first, PREPARE, PARTS, show])]
    done = subprocess.run(words, capture_output=True, text=True, env={"PYTHONPATH": str(REPO / "scripts")})
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ("False False" if first == "pass" else "True True")
    assert first != "pass" or "AttributeError" not in done.stderr
