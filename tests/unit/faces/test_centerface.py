"""CenterFace: its maps decoded as the paper says, and real faces found where they are, dark, small, from the side."""

import json

import numpy as np
import pandas as pd
import pytest

from talking.core import boxes
from talking.faces import centerface, detect, tracks
from talking.video import encoding, media

BOX = ["x1", "y1", "x2", "y2"]


def test_maps_are_decoded_as_the_paper_says() -> None:
    heat, size, offset, points = (np.zeros((*n, 8, 10), np.float32) for n in ((), (2,), (2,), (10,)))
    # A face of 40×24 px about (4·(6 + 0.5 + 0.25), 4·(3 + 0.5 - 0.25)), nose in its middle, all other points in its corner.
    heat[3, 6], heat[3, 7], heat[7, 0] = 0.8, 0.7, 0.05
    size[:, 3, 6] = np.log([40 / 4, 24 / 4])
    offset[:, 3, 6] = -0.25, 0.25
    points[4:6, 3, 6] = 0.5
    [found] = centerface.decoded(heat, size, offset, points, least=0.1)
    x, y = 27.0, 13.0
    np.testing.assert_allclose(found[[0, 2, 3]], [x - 12, x + 12, y + 20], atol=0.3)
    # The margin brings the upper edge from the top of the head to the hairline.
    assert y - 20 < found[1] < y - 15
    assert found[4] == pytest.approx(0.8)
    np.testing.assert_allclose(found[9:11], [x, y], atol=1e-4)
    np.testing.assert_allclose(found[[5, 6]], [x - 12, y - 20], atol=1e-4)


def test_of_two_faces_the_surer_is_first_and_a_slope_is_no_face() -> None:
    heat, size, offset, points = (np.zeros((*n, 8, 10), np.float32) for n in ((), (2,), (2,), (10,)))
    heat[2] = np.linspace(0.2, 0.6, 10)
    heat[6, 2] = 0.9
    found = centerface.decoded(heat, size, offset, points, least=0.1)
    assert found[:, 4] == pytest.approx([0.9, 0.6])


def test_sides_need_not_be_multiples_of_the_networks_stride(shared) -> None:
    picture = next(media.frames(shared / "data/real/crown_dark.mp4", 0, 1, pixel_format="bgr24"))
    detector = centerface.CenterFace(0.5)
    whole, less = detector(picture), detector(picture[:, 3:-5])
    assert len(whole) == len(less) == 1
    assert boxes.iou(whole[0, :4], less[0, :4] + [3, 0, 3, 0]) > 0.9


def test_pictures_looked_at_together_show_what_they_show_alone(shared) -> None:
    pictures = [
        picture
        for _, picture in media.frames_at(shared / "data/real/crown_dark.mp4", [0, 60, 110], pixel_format="bgr24")
    ]
    detector = centerface.CenterFace(0.3)
    for alone, together in zip(map(detector, pictures), detector.together(pictures), strict=True):
        assert len(alone) >= 1
        np.testing.assert_allclose(alone, together, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("video", ["cnn_four", "crown_dark", "debate_wide", "hair_two", "vlog_zh"])
def test_faces_of_real_videos_are_found_and_span_what_the_truth_spans(shared, tmp_path, video: str) -> None:
    encoding.encode(tmp_path / "v.mp4", media.frames(shared / f"data/real/{video}.mp4", 0, 1))
    truth = pd.DataFrame(json.loads((shared / f"data/real/truth/{video}.json").read_text())["boxes"])
    truth = truth[truth["frame"] == 0]
    found = detect.detect(tmp_path / "v.mp4", detect.Settings())
    found = found[found["confidence"] >= tracks.Settings().start_confidence]
    overlap = boxes.iou_matrix(truth[BOX], found[BOX])
    assert overlap.max(axis=1).min() > 0.6
    # The news programme shows a photograph of a face as well.
    assert len(found) == len(truth) + (video == "cnn_four")


def test_hands_before_a_face_do_not_end_its_track(shared, tmp_path) -> None:
    # The left one of two covers her face for a second, the other one looks out from behind her.
    encoding.encode(tmp_path / "v.mp4", media.frames(shared / "data/real/hair_two.mp4", 380, 450))
    shots = pd.DataFrame({"shot": [0], "start_frame": [0], "end_frame": [70]})
    found = tracks.track(
        detect.detect(tmp_path / "v.mp4", detect.Settings()),
        shots,
        tracks.Looks(lambda places: [None] * len(places), 1.0),
        tracks.Settings(),
    )
    first = found[found["track"] == 0]
    assert first["frame"].tolist() == list(range(70))
    assert (first["x1"] < 200).all()
    assert not first["detected"].all()
