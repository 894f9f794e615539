"""Inspection of a clip's pictures: hands and writing over faces, people without a face, fingerprints."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from talking.clips import captions, fingerprints, unseen
from talking.core import arrays, keypoints, tables
from talking.core.errors import InputError
from talking.faces.tracked import Faces
from talking.video import media

# A clip is looked at once a second.
_EVERY_FRAMES = media.FPS
# A hand covers a face if so many of its 21 points lie in the face box; writing if a line covers this fraction of it.
_HAND_POINTS = 5
_COVERED_BY_WRITING = 0.03


def inspect(
    video: str | Path, sound: str | Path, candidates: pd.DataFrame, tracks: pd.DataFrame, poses: str | Path
) -> pd.DataFrame:
    """Return the table `inspections` of the candidate clips of a `media/` video, with its wav, tracks and poses.

    One picture a second is decoded, shared by clips that overlap. Raises InputError if the poses are of other clips.
    """
    wanted = candidates[candidates["candidate"]]
    if wanted.empty:
        return tables.empty("inspections")
    faces = Faces(tracks)
    hashes, written, behind = _look(video, wanted, faces)
    rows = []
    with arrays.opened(poses) as of_clips:
        for clip in wanted.itertuples():
            box = faces.boxes(faces.rows(clip.person_tracks, clip.start_frame, clip.end_frame))
            try:
                points, scores = of_clips[f"{clip.clip}/keypoints"], of_clips[f"{clip.clip}/scores"]
            except KeyError as error:
                raise InputError(f"{poses} has no poses of clip {clip.clip}; delete it and run again.") from error
            rows.append(
                {
                    "clip": clip.clip,
                    "hand_over_face_share": hands_over_faces(points, scores, box).mean(axis=0).max(),
                    "caption_over_face_share": np.stack(written[clip.clip]).mean(axis=0).max(),
                    "unseen_person_share": np.mean(behind[clip.clip]),
                    "sound_hashes": _of_sound(sound, clip.start_frame, clip.end_frame),
                    "picture_hashes": [hashes[frame] for frame in looked_at(clip)],
                }
            )
    return pd.DataFrame(rows)


def hands_over_faces(points: np.ndarray, scores: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return whether a hand lies over each face (frames, people) bool; false for absent faces (NaN).

    `points` (frames, people, 133, 2) and `scores` (frames, people, 133) are keypoints, `faces` (frames, people, 4) boxes, in px.
    """
    over = np.zeros(faces.shape[:2], dtype=bool)
    for hand in (keypoints.LEFT_HAND, keypoints.RIGHT_HAND):
        # Of every owner's hand (frames, owners, 1, 21, 2), the points in every face (frames, 1, people, 1, 4).
        at, known = points[:, :, None, hand], scores[:, :, None, hand] > 0
        face = faces[:, None, :, None]
        inside = known & (at >= face[..., :2]).all(-1) & (at < face[..., 2:]).all(-1)
        over |= (inside.sum(axis=-1) >= _HAND_POINTS).any(axis=1)
    return over


def looked_at(clip: Any) -> range:
    """Return the frames of a row of `candidates` that are looked at: one a second, from the first on."""
    return range(clip.start_frame, clip.end_frame, _EVERY_FRAMES)


def _look(
    video: str | Path, wanted: pd.DataFrame, faces: Faces
) -> tuple[dict[int, np.uint64], dict[str, list[np.ndarray]], dict[str, list[bool]]]:
    """Return the fingerprint of each frame looked at, and of each clip two lists, picture after picture.

    They say over whose faces there is writing (people,), and whether somebody is seen without a face.
    """
    writing, of_people = captions.detector(), unseen.segmenter()
    clips_at: dict[int, list[Any]] = {}
    for clip in wanted.itertuples():
        for frame in looked_at(clip):
            clips_at.setdefault(frame, []).append(clip)
    hashes, written, behind = {}, {clip: [] for clip in wanted["clip"]}, {clip: [] for clip in wanted["clip"]}
    near = {clip.clip: _nearest_boxes(clip, faces) for clip in wanted.itertuples()}
    pictures = media.frames_at(video, clips_at, fast=True)
    for frame, picture in tqdm(pictures, total=len(clips_at), desc="looking at clips", unit="frame", mininterval=5):
        hashes[frame] = fingerprints.of_picture(picture)
        for clip in clips_at[frame]:
            box = faces.boxes(faces.rows(clip.person_tracks, frame, frame + 1))[0]
            written[clip.clip].append(captions.covered(picture, box, writing) > _COVERED_BY_WRITING)
            others = faces.boxes(faces.rows(clip.bystander_tracks, frame, frame + 1))[0]
            known = np.concatenate([near[clip.clip][frame - clip.start_frame], others])
            behind[clip.clip].append(unseen.shows_unseen(picture, known, of_people))
    return hashes, written, behind


def _nearest_boxes(clip: Any, faces: Faces) -> np.ndarray:
    """Return the face boxes (frames, people, 4) px of a clip's people; a person who is away keeps the box from before, or after."""
    box = faces.boxes(faces.rows(clip.person_tracks, clip.start_frame, clip.end_frame))
    return pd.DataFrame(box.reshape(len(box), -1)).ffill().bfill().to_numpy().reshape(box.shape)


def _of_sound(sound: str | Path, start: int, end: int) -> np.ndarray:
    """Return the fingerprints (frames,) of frames [start, end) of a wav; beyond its ends there is silence."""
    margin = fingerprints.MARGIN_FRAMES
    first = max(start - margin, 0)
    samples = media.sound(sound, first, end + margin)
    before = (margin - (start - first)) * media.SAMPLES_PER_FRAME
    whole = (end - start + 2 * margin) * media.SAMPLES_PER_FRAME
    return fingerprints.of_sound(np.pad(samples, (before, max(0, whole - before - samples.size)))[:whole])
