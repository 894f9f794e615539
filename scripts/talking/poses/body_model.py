"""BlazePose's landmark model without the mask of the body, which nobody reads and which takes a third of its time.

A TensorFlow Lite model is a FlatBuffer: tables of offsets, little-endian. Only the lists of the model's steps and outputs are changed, in
their place. Every step that is left computes what it did.
"""

import struct

# Where things stand in a model's tables (TensorFlow Lite's schema).
_SUBGRAPHS = 2
_OUTPUTS, _OPERATORS = 2, 3
_OPERATOR_INPUTS, _OPERATOR_OUTPUTS = 1, 2
# The model's outputs: landmarks, presence, mask, heat maps, landmarks in metres.
_PRESENCE, _MASK, _NUMBER = 1, 2, 5


def without_mask(model: bytes) -> bytes:
    """Return a landmark model that gives the presence again in place of the mask, without the steps that only the mask needs."""
    data = bytearray(model)
    graph = _entry(data, _field(data, _entry(data, 0), _SUBGRAPHS) + 4)
    outputs, operators = _field(data, graph, _OUTPUTS), _field(data, graph, _OPERATORS)
    wanted = _numbers(data, outputs)
    if len(wanted) != _NUMBER:
        raise ValueError(
            f"the model has {len(wanted)} outputs instead of {_NUMBER}; it is not BlazePose's landmark model."
        )
    wanted[_MASK] = wanted[_PRESENCE]
    struct.pack_into("<i", data, outputs + 4 + 4 * _MASK, wanted[_MASK])
    steps = [_entry(data, operators + 4 + 4 * k) for k in range(_number(data, operators))]
    needed, kept = set(wanted), []
    # A step comes after those whose results it takes.
    for step in reversed(steps):
        if not needed.isdisjoint(_numbers(data, _field(data, step, _OPERATOR_OUTPUTS))):
            needed.update(_numbers(data, _field(data, step, _OPERATOR_INPUTS)))
            kept.append(step)
    struct.pack_into("<I", data, operators, len(kept))
    for k, step in enumerate(reversed(kept)):
        at = operators + 4 + 4 * k
        struct.pack_into("<I", data, at, step - at)
    return bytes(data)


def _number(data: bytearray, at: int) -> int:
    return struct.unpack_from("<I", data, at)[0]


def _entry(data: bytearray, at: int) -> int:
    """Return where the thing stands to which the offset at a place leads."""
    return at + _number(data, at)


def _field(data: bytearray, table: int, number: int) -> int:
    """Return where the list stands that is a field of a table."""
    layout = table - struct.unpack_from("<i", data, table)[0]
    return _entry(data, table + struct.unpack_from("<H", data, layout + 4 + 2 * number)[0])


def _numbers(data: bytearray, at: int) -> list[int]:
    """Return a list of whole numbers."""
    return list(struct.unpack_from(f"<{_number(data, at)}i", data, at + 4))
