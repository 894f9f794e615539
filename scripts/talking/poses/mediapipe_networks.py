"""MediaPipe's networks of a body and of a hand, as graphs that remember nothing from one picture to the next."""

from pathlib import Path

import numpy as np
from google.protobuf import text_format
from mediapipe.calculators.core import split_vector_calculator_pb2  # noqa: F401 - known to the graphs' text once imported
from mediapipe.framework import calculator_pb2
from mediapipe.framework.formats import rect_pb2
from mediapipe.python import solution_base
from mediapipe.python._framework_bindings import validated_graph_config
from mediapipe.python.solution_base import SolutionBase

from talking.core import mediapipe_parts
from talking.poses import body_model

# MediaPipe's package, the body's model in it, and what the nodes that read this model and those that follow a hand are named after.
_PACKAGE = Path(solution_base.__file__).parents[1]
_BODY_MODEL = "modules/pose_landmark/pose_landmark_full.tflite"
_LOADER, _TRACKING = "poselandmarkmodelloader", "handtracking"

_BODY_GRAPH = """
input_stream: "image"
input_stream: "region"
output_stream: "body"
output_stream: "next_region"
input_side_packet: "model_complexity"
node {
  calculator: "ImagePropertiesCalculator"
  input_stream: "IMAGE:image"
  output_stream: "SIZE:size"
}
node {
  calculator: "PoseLandmarkByRoiCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:region"
  input_side_packet: "MODEL_COMPLEXITY:model_complexity"
  output_stream: "LANDMARKS:body"
  output_stream: "AUXILIARY_LANDMARKS:auxiliary"
}
node {
  calculator: "PoseLandmarksToRoi"
  input_stream: "LANDMARKS:auxiliary"
  input_stream: "IMAGE_SIZE:size"
  output_stream: "ROI:next_region"
}
"""

# The hand at the end of one arm: the wrist and the roots of the little and the index finger among the body's points.
_HAND_GRAPH = """
input_stream: "image"
input_stream: "body"
output_stream: "hand"
node {
  calculator: "SplitNormalizedLandmarkListCalculator"
  input_stream: "body"
  output_stream: "end"
  options {
    [mediapipe.SplitVectorCalculatorOptions.ext] {
      ranges { begin: %d end: %d }
      ranges { begin: %d end: %d }
      ranges { begin: %d end: %d }
      combine_outputs: true
    }
  }
}
node {
  calculator: "HandLandmarksFromPoseCpu"
  input_stream: "IMAGE:image"
  input_stream: "HAND_LANDMARKS_FROM_POSE:end"
  output_stream: "HAND_LANDMARKS:hand"
}
"""
_ARM_ENDS = ((15, 16, 17, 18, 19, 20), (16, 17, 18, 19, 20, 21))


class Networks:
    """The networks; they remember nothing from one picture to the next."""

    def __init__(self) -> None:
        model = body_model.without_mask((_PACKAGE / _BODY_MODEL).read_bytes())
        self._body = SolutionBase(graph_config=_body_graph(), side_inputs={"model": model})
        self._hands = [SolutionBase(graph_config=_hand_graph(points)) for points in _ARM_ENDS]

    def body(self, picture: np.ndarray, region: rect_pb2.NormalizedRect):
        """Return what is found in a region of an RGB picture (h, w, 3): 33 points `body`, None if there is no body, and `next_region` to look at next."""
        return self._body.process({"image": picture, "region": region})

    def hand(self, side: int, picture: np.ndarray, body) -> np.ndarray | None:
        """Return the hand (21, 2) px of a body's left (0) or right (1) arm, if there is one."""
        found = self._hands[side].process({"image": picture, "body": body}).hand
        return None if found is None else pixels(found, picture.shape[1::-1])


def pixels(landmarks, size: tuple[int, int]) -> np.ndarray:
    """Return landmarks (n, 2), which are in fractions of a picture of (width, height) px, in px."""
    return np.array([[point.x, point.y] for point in landmarks.landmark]) * size


def _body_graph() -> calculator_pb2.CalculatorGraphConfig:
    """Return the graph of the body whose model is given as `model`; MediaPipe's own part of it would read one from the package."""
    graph = _whole(_BODY_GRAPH)
    loader = [node for node in graph.node if _LOADER in node.name]
    read = next(node for node in loader if node.calculator == "TfLiteModelCalculator")
    read.input_side_packet[:] = ["MODEL_BLOB:model"]
    for node in loader:
        if node is not read:
            graph.node.remove(node)
    graph.input_side_packet[:] = ["model"]
    return graph


def _hand_graph(points: tuple[int, ...]) -> calculator_pb2.CalculatorGraphConfig:
    """Return the graph of the hand at the end of an arm, which looks where the arm ends, whatever it has found before.

    MediaPipe's own begins at the hand of the picture before, which may be another frame's, or another person's.
    """
    graph = _whole(_HAND_GRAPH % points)
    tracking = [node for node in graph.node if _TRACKING in node.name]
    [choice] = [node for node in tracking if node.calculator == "RoiTrackingCalculator"]
    [at_arm] = [stream.split(":")[1] for stream in choice.input_stream if stream.startswith("RECROP_RECT:")]
    [chosen] = [stream.split(":")[1] for stream in choice.output_stream]
    for node in tracking:
        graph.node.remove(node)
    for node in graph.node:
        node.input_stream[:] = [stream.replace(chosen, at_arm) for stream in node.input_stream]
    return graph


def _whole(text: str) -> calculator_pb2.CalculatorGraphConfig:
    """Return a graph with MediaPipe's own parts spelled out, which runs in the thread that calls it: others would wait for each other."""
    mediapipe_parts.find_models()
    whole = validated_graph_config.ValidatedGraphConfig()
    whole.initialize(graph_config=_parsed(text))
    graph = calculator_pb2.CalculatorGraphConfig.FromString(whole.binary_config)
    del graph.executor[:]
    graph.executor.add(type="ApplicationThreadExecutor")
    return graph


def _parsed(graph: str) -> calculator_pb2.CalculatorGraphConfig:
    return text_format.Parse(graph, calculator_pb2.CalculatorGraphConfig())
