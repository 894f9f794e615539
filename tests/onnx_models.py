"""Small ONNX files of the same form as published ones, whose answers are known beforehand."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_scrfd(path: Path) -> Path:
    """Write a network of SCRFD's form that finds, of each map, the cells that are all red: score, box and points of each anchor.

    Boxes reach 1, 2, 3, 4 strides to the left, up, right and down; points lie 0.1, 0.2, ... strides to the right and down. The
    second anchor of a cell has score 0. Outputs are in the order of the published file: scores, boxes, points, each from fine to coarse.
    """
    nodes, outputs, constants = [], {"score": [], "box": [], "points": []}, []
    values = {"box": np.arange(1, 5) * np.ones((2, 1)), "points": np.arange(1, 11) * 0.1 * np.ones((2, 1))}

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value, name))
        return name

    weigh = constant("weigh", np.array([1.0, -1.0, -1.0], np.float32).reshape(1, 3, 1, 1) / 3)
    nodes.append(helper.make_node("Conv", ["input.1", weigh], ["red"], kernel_shape=[1, 1]))
    rows = constant("rows", np.array([-1, 1], np.int64))
    pair = constant("pair", np.array([[1.0, 0.0]], np.float32))
    for stride in (8, 16, 32):
        pool = {"kernel_shape": [stride, stride], "strides": [stride, stride]}
        nodes += [
            helper.make_node("AveragePool", ["red"], [f"mean{stride}"], **pool),
            helper.make_node("Reshape", [f"mean{stride}", rows], [f"cells{stride}"]),
            helper.make_node("MatMul", [f"cells{stride}", pair], [f"anchors{stride}"]),
            helper.make_node("Reshape", [f"anchors{stride}", rows], [f"score{stride}"]),
        ]
        outputs["score"].append((f"score{stride}", 1))
        for name, value in values.items():
            of_cell = constant(f"{name}_of_cell{stride}", value.astype(np.float32).reshape(1, -1))
            zero = constant(f"{name}_zero{stride}", np.zeros((1, 1), np.float32))
            width = constant(f"{name}_width{stride}", np.array([-1, value.shape[1]], np.int64))
            nodes += [
                helper.make_node("MatMul", [f"cells{stride}", zero], [f"{name}_none{stride}"]),
                helper.make_node("Add", [f"{name}_none{stride}", of_cell], [f"{name}_both{stride}"]),
                helper.make_node("Reshape", [f"{name}_both{stride}", width], [f"{name}{stride}"]),
            ]
            outputs[name].append((f"{name}{stride}", value.shape[1]))
    return _write(path, nodes, constants, [1, 3, "h", "w"], [out for of in outputs.values() for out in of])


def write_arcface(path: Path) -> Path:
    """Write a network of ArcFace's form whose 512 values are brightnesses of the picture, averaged over 7×7 px, the mean removed."""
    pick = np.zeros((256, 512), np.float32)
    pick[np.arange(256), np.arange(256)] = 1
    constants = [
        numpy_helper.from_array(np.full((1, 3, 1, 1), 1 / 3, np.float32), "weigh"),
        numpy_helper.from_array(np.array([-1, 256], np.int64), "flat"),
        numpy_helper.from_array(pick, "pick"),
    ]
    nodes = [
        helper.make_node("Conv", ["input.1", "weigh"], ["grey"], kernel_shape=[1, 1]),
        helper.make_node("AveragePool", ["grey"], ["coarse"], kernel_shape=[7, 7], strides=[7, 7]),
        helper.make_node("Reshape", ["coarse", "flat"], ["row"]),
        helper.make_node("ReduceMean", ["row"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["row", "mean"], ["centred"]),
        helper.make_node("MatMul", ["centred", "pick"], ["683"]),
    ]
    return _write(path, nodes, constants, ["n", 3, 112, 112], [("683", 512)])


def _write(path: Path, nodes: list, constants: list, shape: list, outputs: list[tuple[str, int]]) -> Path:
    taken = helper.make_tensor_value_info("input.1", TensorProto.FLOAT, shape)
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width]) for name, width in outputs]
    graph = helper.make_graph(nodes, "small", [taken], given, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path
