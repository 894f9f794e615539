"""The body's model without its mask: the same bodies as MediaPipe's own graph finds."""

import cv2
import numpy as np
import pytest
from mediapipe.framework.formats import rect_pb2
from mediapipe.python.solution_base import SolutionBase

from talking.poses import body_model, mediapipe_networks
from talking.video import media

PACKAGED = mediapipe_networks._PACKAGE / mediapipe_networks._BODY_MODEL


def test_every_body_is_bit_for_bit_that_of_the_packaged_graph(shared) -> None:
    packaged = SolutionBase(
        graph_config=mediapipe_networks._parsed(mediapipe_networks._BODY_GRAPH), side_inputs={"model_complexity": 1}
    )
    models, bodies = mediapipe_networks.Networks(), 0
    for file in sorted((shared / "data/pose").glob("*.jpg"))[:3]:
        picture = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        # Writable pictures are copied, others are not.
        unwritten = picture.copy()
        unwritten.flags.writeable = False
        for x, side in ((0.3, 0.6), (0.5, 0.6), (0.7, 0.6), (0.5, 1.2)):
            region = rect_pb2.NormalizedRect(x_center=x, y_center=0.5, width=side, height=side)
            expected, found = packaged.process({"image": picture, "region": region}), models.body(unwritten, region)
            assert (expected.body is None) == (found.body is None)
            if found.body is not None:
                bodies += 1
                assert found.body == expected.body and found.next_region == expected.next_region
    assert bodies >= 3


def test_only_the_lists_of_steps_and_outputs_change() -> None:
    model = PACKAGED.read_bytes()
    without = body_model.without_mask(model)
    assert len(without) == len(model)
    changed = np.flatnonzero(np.frombuffer(without, np.uint8) != np.frombuffer(model, np.uint8))
    assert 0 < len(changed) < 2000
    assert body_model.without_mask(without) == without


def test_another_model_is_refused() -> None:
    hand = mediapipe_networks._PACKAGE / "modules/hand_landmark/hand_landmark_full.tflite"
    with pytest.raises(ValueError, match="outputs"):
        body_model.without_mask(hand.read_bytes())


def test_a_hand_does_not_depend_on_what_was_looked_at_before(shared) -> None:
    alone, again = mediapipe_networks.Networks(), mediapipe_networks.Networks()
    looks = []
    for picture in list(media.frames(shared / "data/real/debate_wide.mp4", 50, 54)):
        for x in (0.2, 0.8):
            body = alone.body(picture, rect_pb2.NormalizedRect(x_center=x, y_center=0.6, width=0.5, height=0.9))
            looks += [] if body.body is None else [(arm, picture, body.body) for arm in (0, 1, 0, 1)]
    found = [alone.hand(*look) for look in looks]
    backwards = [again.hand(*look) for look in reversed(looks)]
    assert sum(hand is not None for hand in found) >= 6
    for one, other in zip(found, reversed(backwards), strict=True):
        np.testing.assert_equal(one, other)
