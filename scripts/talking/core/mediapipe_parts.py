"""MediaPipe's parts without its package's own start, which imports its drawing functions, matplotlib and its newer interface."""

import importlib.util
import os
import sys
from pathlib import Path


def prepare() -> None:
    """Make the packages below `mediapipe` importable by themselves: all of it takes 0.4 s more.

    To be called before they are imported. Once the package is there, nothing changes.
    """
    # Read when MediaPipe is first imported: only its errors belong in the log.
    os.environ.setdefault("GLOG_minloglevel", "2")
    if "mediapipe" in sys.modules:
        return
    # MediaPipe looks for this method, which protobuf has no more; without it, an AttributeError is printed though all is well.
    message_factory = importlib.import_module("google.protobuf.message_factory")
    message_factory.MessageFactory.GetPrototype = staticmethod(message_factory.GetMessageClass)
    spec = importlib.util.find_spec("mediapipe")
    sys.modules["mediapipe"] = importlib.util.module_from_spec(spec)
    # Options of a graph whose declaration was not imported are dropped without a word.
    root = Path(spec.origin).parent
    for folder in ("calculators", "framework", "modules"):
        for file in sorted((root / folder).rglob("*_pb2.py")):
            importlib.import_module(".".join(["mediapipe", *file.relative_to(root).with_suffix("").parts]))


def find_models() -> None:
    """Tell MediaPipe that the models which its graphs name are in its package."""
    from mediapipe.python._framework_bindings import resource_util

    resource_util.set_resource_dir(str(Path(importlib.util.find_spec("mediapipe").origin).parents[1]))
