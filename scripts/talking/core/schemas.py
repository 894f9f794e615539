"""Every table's schema: its columns in their order, their types, units and meanings."""

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, Arrow type, unit (empty if none) and one line of meaning."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str


_INT, _LONG, _FLOAT, _DOUBLE = pa.int32(), pa.int64(), pa.float32(), pa.float64()

_BOOL, _TEXT, _INTS, _FLOATS = pa.bool_(), pa.string(), pa.list_(pa.int32()), pa.list_(pa.float32())

_INT_LISTS = pa.list_(_INTS)

# A detector's five points of a face.
_POINTS = {
    "right_eye": "the person's own right eye",
    "left_eye": "the person's own left eye",
    "nose": "the tip of the nose",
    "mouth_right": "the person's own right corner of the mouth",
    "mouth_left": "the person's own left corner of the mouth",
}

_TEXTS, _HASHES, _LONG_HASHES = (pa.list_(of) for of in (pa.string(), pa.uint32(), pa.uint64()))


def _box(of: str) -> list[Column]:
    return [Column(c, _FLOAT, "px", f"{edge} edge of {of}") for c, edge in zip(("x1", "y1", "x2", "y2"), ("left", "top", "right", "bottom"), strict=True)]  # fmt: skip


_TRACK = Column("track", _INT, "", "number of the face track, unique within the video")

_FRAME = Column("frame", _INT, "frame", "frame of media/{video}.mp4 (25 a second, from 0)")

_VIDEO = Column("video", _TEXT, "", "id of the video in the sample sheet")

SCHEMAS: dict[str, list[Column]] = {
    "shots": [
        Column("shot", _INT, "", "number of the shot, from 0"),
        Column("start_frame", _INT, "frame", "first frame"),
        Column("end_frame", _INT, "frame", "one past the last frame"),
        Column("clear_start_frame", _INT, "frame", "first frame without a dissolve, fade or short piece"),
        Column(
            "clear_end_frame",
            _INT,
            "frame",
            "one past the last frame without a dissolve, fade or short piece",
        ),
        Column(
            "transition",
            _TEXT,
            "",
            "how the shot begins: start, cut, fade (dissolves too) or jump_cut (time is cut out, framing and people stay)",
        ),
        Column("camera_motion", _FLOAT, "picture heights/s", "median speed of the background"),
        Column("camera_motion_peak", _FLOAT, "picture heights/s", "speed of the background in its fastest second"),
        Column(
            "picture_motion", _FLOAT, "0-1", "mean absolute grey difference of successive frames; near 0 is a still"
        ),
    ],
    "faces": [
        _FRAME,
        *_box("the face"),
        Column(
            "confidence",
            _FLOAT,
            "0-1",
            "detector's confidence, at most that of the last search of the whole picture; interpolated between looks",
        ),
        *(
            Column(f"{point}_{axis}", _FLOAT, "px", f"{axis} of {part}")
            for point, part in _POINTS.items()
            for axis in "xy"
        ),
    ],
    "tracks": [
        _TRACK,
        Column("shot", _INT, "", "shot the track lies in; a track never crosses a cut"),
        _FRAME,
        *_box("the face"),
        Column(
            "detected",
            _BOOL,
            "",
            "true if the detector saw the face here or at the detections just before and after, false if the box was filled in",
        ),
        Column("confidence", _FLOAT, "0-1", "detector's confidence; 0 where filled in"),
    ],
    "persons": [
        Column("person", _INT, "", "number of the person, unique within the video; kept through the shots of a scene"),
        Column("shot", _INT, "", "shot of this row; a person of several shots has a row for each"),
        Column("tracks", _INTS, "", "the person's tracks in the shot, in order of time; a track belongs to one person"),
        Column("start_frame", _INT, "frame", "first frame with a box of the person"),
        Column("end_frame", _INT, "frame", "one past the last frame with a box"),
        Column("num_frames", _INT, "frame", "frames with a box"),
        Column(
            "face_probability", _FLOAT, "0-1", "probability that the face is a living one, in all shots of the scene"
        ),
        Column("role", _TEXT, "", "participant, bystander or not_a_face"),
        Column(
            "repeated_of",
            _INT,
            "",
            "person of whom this is a second appearance in the same picture (mirror, recording); null if none",
        ),
        Column("participant_probability", _FLOAT, "0-1", "probability that the person takes part; 0 if it is no face"),
        Column("confidence", _FLOAT, "0-1", "detector's median confidence"),
        Column("confidence_high", _FLOAT, "0-1", "90th percentile of the detector's confidence"),
        Column("detected_share", _FLOAT, "0-1", "fraction of the person's boxes that the detector saw"),
        Column("presence", _FLOAT, "0-1", "mean presence score of the face mesh"),
        Column("landmark_share", _FLOAT, "0-1", "fraction of the person's boxes with face landmarks"),
        Column("size", _FLOAT, "picture heights", "median square root of the box's area"),
        Column("sharpness", _FLOAT, "", "75th percentile of the face's sharpness"),
        Column(
            "cut_off_share", _FLOAT, "0-1", "fraction of the person's boxes that reach the picture's left or right edge"
        ),
        Column(
            "own_motion",
            _FLOAT,
            "0-1",
            "change of the face's picture in two seconds after shift and size are removed; near 0 is a still; NaN unknown",
        ),
        Column(
            "expression",
            _FLOAT,
            "eye widths, face heights",
            "how far the eyes close or the lips part, whichever is more; a still has about 0.01; NaN unknown",
        ),
        Column("yaw", _FLOAT, "deg", "median absolute yaw; NaN unknown"),
        Column(
            "talking_s", _FLOAT, "s", "how long the person has the best positive active-speaker score under a voice"
        ),
    ],
    "asd": [
        _TRACK,
        _FRAME,
        Column(
            "score",
            _FLOAT,
            "logit",
            "active-speaker model's raw score, TalkNet's scale, 0 is the best threshold; networks give -5 to an audience (faces beyond the eight largest), which they do not look at",
        ),
    ],
    "speaking": [
        _TRACK,
        _FRAME,
        Column("score", _FLOAT, "logit", "active-speaker score after fusion, TalkNet's scale; never NaN"),
        Column("score_smooth", _FLOAT, "logit", "score averaged symmetrically over a few frames"),
        Column("speaking", _BOOL, "", "the decision"),
        Column("speaking_confidence", _FLOAT, "0-1", "probability that the decision is right"),
    ],
    "transcript": [
        Column("word", _TEXT, "", "the word as transcribed"),
        Column("start_s", _DOUBLE, "s", "start in the video"),
        Column("end_s", _DOUBLE, "s", "end in the video"),
        Column("confidence", _FLOAT, "0-1", "recogniser's probability"),
    ],
    "pieces": [
        Column("start_s", _DOUBLE, "s", "start of a piece of speech in the video"),
        Column("end_s", _DOUBLE, "s", "its end"),
        Column("voice", _FLOAT, "0-1", "mean voice probability in it"),
        Column("language", _TEXT, "", "detected language, as a two-letter code"),
        Column("language_probability", _FLOAT, "0-1", "probability of that language from this piece and the others"),
        Column("log_probability", _FLOAT, "", "mean log probability of the recognised words"),
        Column("no_speech_probability", _FLOAT, "0-1", "recogniser's probability that nobody speaks"),
        Column("compression_ratio", _FLOAT, "", "compression ratio of the text; above 2.4 it repeats itself"),
        Column("temperature", _FLOAT, "", "temperature of the recognition; above 0 if an earlier one was refused"),
        Column("understood", _BOOL, "", "true if its words are in the transcript"),
        Column(
            "reason",
            _TEXT,
            "",
            "why not: no_speech, other_language, unclear, repetition, phrase (known invention of the recogniser) or timing (more words than fit)",
        ),
    ],
    "words": [
        Column("word", _TEXT, "", "the word as transcribed"),
        Column("start_s", _DOUBLE, "s", "start in the video"),
        Column("end_s", _DOUBLE, "s", "end in the video"),
        Column("confidence", _FLOAT, "0-1", "recogniser's probability"),
        Column("speaker", _TEXT, "", "speaker label in speech/{video}.rttm, empty if no turn covers the word"),
        Column("track", _INT, "", "face track that says the word; null if nobody on screen does"),
        Column("said_by", _TEXT, "", '"track N" or "off screen"'),
    ],
    "voice": [
        _FRAME,
        Column("voice", _FLOAT, "0-1", "probability that anybody is speaking during the frame"),
        Column("loudness_db", _FLOAT, "dBFS", "RMS level of the frame"),
    ],
    "candidates": [
        Column("clip", _TEXT, "", "{source}_{video}_{start:06d}to{end:06d}"),
        _VIDEO,
        Column("source", _TEXT, "", "source in the sample sheet"),
        Column("shot", _INT, "", "first shot of the clip"),
        Column("start_frame", _INT, "frame", "first frame in media/{video}.mp4"),
        Column("end_frame", _INT, "frame", "one past the last frame"),
        Column("duration_s", _FLOAT, "s", "length"),
        Column("num_people", _INT, "", "participants"),
        Column("people", _INTS, "", "the participants of people/{video}.parquet, left to right: person i is the i-th"),
        Column("tracks", _INTS, "", "the longest track of each participant"),
        Column("person_tracks", _INT_LISTS, "", "all tracks of each person, in order of time"),
        Column(
            "candidate",
            _BOOL,
            "",
            "true if it has enough and not too many participants for long enough, large enough and with a voice (config `clips`); only such rows have poses, sound features and qualities",
        ),
        Column("dissolve", _BOOL, "", "true if pictures are mixed with those of a neighbouring shot"),
        Column("num_jump_cuts", _INT, "", "jump cuts within the clip"),
        Column("absent_s", _FLOATS, "s", "how long each participant is away: turned, covered or not found"),
        Column(
            "absent_share",
            _FLOAT,
            "0-1",
            "fraction of the frames in which a participant is away; the largest over participants",
        ),
        Column(
            "face_height_share",
            _FLOAT,
            "0-1",
            "height of the smallest person's face (median over frames), as a fraction of the picture's shorter side",
        ),
        Column("area_ratio", _FLOAT, "0-1", "median area of the smallest person's face divided by that of the largest"),
        Column("voice_share", _FLOAT, "0-1", "fraction of the frames in which a voice is heard"),
        Column("num_bystanders", _INT, "", "other people who are seen in the clip"),
        Column("bystander_tracks", _INT_LISTS, "", "all tracks of each of them, in order of time"),
        Column(
            "bystander_ratio",
            _FLOAT,
            "",
            "area of the largest bystander's face, averaged over all frames of the clip, divided by that of the smallest participant's",
        ),
        Column("bystander_share", _FLOAT, "0-1", "fraction of the frames in which a bystander is seen"),
        Column("repeated_person", _INT, "", "people who are a second appearance of somebody else on screen"),
        Column("camera_motion", _FLOAT, "picture heights/s", "of the shot; the fastest of several"),
        Column("picture_motion", _FLOAT, "0-1", "of the shot; the mean over the frames of several"),
    ],
    "qualities": [
        Column("clip", _TEXT, "", "name of a candidate clip"),
        Column(
            "face_px",
            _FLOAT,
            "px",
            "size of the smallest person's face: median over frames of the square root of the box's area",
        ),
        Column("face_px_min", _FLOAT, "px", "size of the smallest face in any frame"),
        Column("speaking_s", _FLOATS, "s", "how long each person speaks, in the order of `people`"),
        Column("num_talkers", _INT, "", "people who speak for at least min_talker_s"),
        Column("talking_s", _FLOAT, "s", "how long anybody on screen speaks"),
        Column("num_turns", _INT, "", "speaking periods in order of time, successive ones of one person counted once"),
        Column("num_exchanges", _INT, "", "turns that another person's turn answers within answer_s"),
        Column("talk_balance", _FLOAT, "0-0.5", "fraction of all talk by the second most talkative person"),
        Column("speaking_share", _FLOAT, "0-1", "fraction of the frames in which anybody on screen speaks"),
        Column("overlap_share", _FLOAT, "0-1", "fraction of the frames in which two or more people on screen speak"),
        Column(
            "off_screen_share",
            _FLOAT,
            "0-1",
            "fraction of the frames in which a voice is heard, all participants are seen and, with a probability of 0.7, none of them speaks",
        ),
        Column("num_voices", _INT, "", "speakers of speech/{video}.rttm who are heard for at least min_talker_s"),
        Column(
            "mouth_sound_agreement",
            _FLOAT,
            "0-1",
            "fraction of the frames labelled speaking that both a voice and that person's moving lips confirm",
        ),
        Column("speaking_confidence", _FLOAT, "0-1", "mean probability that the speaking decisions are right"),
        Column("sharpness", _FLOAT, "", "least sharp person's median sharpness of the face"),
        Column(
            "yaw_deg",
            _FLOAT,
            "deg",
            "95th percentile of the absolute yaw; of the person who turns away most",
        ),
        Column(
            "turned_away_share",
            _FLOAT,
            "0-1",
            "fraction of the frames in which a head is turned beyond turned_away_deg; the largest over people",
        ),
        Column(
            "detected_share",
            _FLOAT,
            "0-1",
            "fraction of a person's boxes that the detector saw; the smallest over people",
        ),
        Column(
            "landmark_share",
            _FLOAT,
            "0-1",
            "fraction of a person's boxes with face landmarks; the smallest over people",
        ),
        Column(
            "face_motion",
            _FLOAT,
            "face heights",
            "motion of a face's points against each other (RMS), of the stillest person; near 0 in a photograph",
        ),
        Column(
            "covered_share",
            _FLOAT,
            "0-1",
            "fraction of the frames in which a larger face covers a fifth of a person's; the largest over people",
        ),
        Column(
            "sync_offsets",
            _FLOATS,
            "frame",
            "frames by which the sound leads each person's mouth; 0 for a person who never speaks alone",
        ),
        Column("sync_confidences", _FLOATS, "", "how much better mouth and sound fit at that offset than at others"),
        Column(
            "sync_error_frames",
            _FLOAT,
            "frame",
            "largest absolute offset of a person who speaks alone for min_sync_s, with min_sync_confidence; null if there is none",
        ),
    ],
    "inspections": [
        Column("clip", _TEXT, "", "name of a candidate clip"),
        Column(
            "hand_over_face_share",
            _FLOAT,
            "0-1",
            "fraction of the frames in which a hand (5 of its 21 points) lies over a face; the largest over people",
        ),
        Column(
            "caption_over_face_share",
            _FLOAT,
            "0-1",
            "fraction of the seconds in which a line of writing covers 3 % of a face; the largest over people",
        ),
        Column(
            "unseen_person_share",
            _FLOAT,
            "0-1",
            "fraction of the seconds that show a person without a found face, such as from behind; about half of such people are noticed, dark heads seldom",
        ),
        Column("sound_hashes", _HASHES, "", "fingerprint of the sound of each frame; 0 where it is too quiet"),
        Column("picture_hashes", _LONG_HASHES, "", "fingerprint of a picture a second, from the first frame on"),
    ],
    "duplicates": [
        _VIDEO,
        Column("clip", _TEXT, "", "a kept clip that shows the same as an earlier clip"),
        Column("duplicate_of", _TEXT, "", "the earlier clip, which is no duplicate itself"),
        Column(
            "offset_frames", _INT, "frame", "frame of the earlier clip at which this one begins; negative: before it"
        ),
        Column("overlap_share", _FLOAT, "0-1", "fraction of the shorter clip that is in both"),
        Column(
            "sound_bit_error", _FLOAT, "0-1", "fraction of differing bits of the sounds' fingerprints; 0.5 by chance"
        ),
        Column(
            "picture_bits",
            _FLOAT,
            "bits of 64",
            "median number of differing bits of the pictures' fingerprints; 32 by chance",
        ),
    ],
    "annotations": [
        _VIDEO,
        Column("clip", _TEXT, "", "name of a kept clip, and of its folder in dataset/"),
        Column("num_frames", _INT, "frame", "frames of its video.mp4, poses and sound"),
        Column("width", _INT, "px", "width of its pictures"),
        Column("height", _INT, "px", "height of its pictures"),
        Column("files", _TEXTS, "", "the folder's files"),
        Column("file_bytes", pa.list_(_LONG), "byte", "their sizes"),
        Column("file_sha256", _TEXTS, "", "their SHA-256 checksums"),
        Column("bytes", _LONG, "byte", "size of the folder's files together"),
        Column("sha256", _TEXT, "", "SHA-256 of the SHA-256 checksums of the folder's files, joined in their order"),
    ],
    "identities": [
        _VIDEO,
        _TRACK,
        Column("person", _TEXT, "", "the person, across shots and videos: p000001, ..."),
    ],
    "remembered_identities": [
        _VIDEO,
        _TRACK,
        Column("person", _TEXT, "", "the person, before reviewers named anybody"),
        Column("highest", _INT, "", "highest number that a person was ever given, the same in each row"),
    ],
    "people": [
        Column("person", _TEXT, "", "the person"),
        Column(
            "split",
            _TEXT,
            "",
            "train, val or test: the split of all the person's clips; several: the person is in many videos of a source and does not join them; withheld: in no split",
        ),
        Column("num_videos", _INT, "", "videos with a kept clip of the person"),
        Column("num_clips", _INT, "", "kept clips of the person"),
        Column("seconds_on_screen", _DOUBLE, "s", "length of these clips"),
        Column("seconds_speaking", _DOUBLE, "s", "how long the person speaks in them"),
    ],
    "videos": [
        _VIDEO,
        Column("status", _TEXT, "", "ok, no_sound or failed"),
        Column(
            "reason", _TEXT, "", "one sentence if the status is not ok, or if sound is missing for a part of the video"
        ),
        Column("deinterlaced", _TEXT, "", "order of the fields that were joined; empty if the video was progressive"),
        Column(
            "tone_mapped",
            _TEXT,
            "",
            "pq, hlg or bt2020 (wide colours) if converted to BT.709; empty for ordinary colours",
        ),
        Column("sound_track", _TEXT, "", "which of several sound tracks was used; empty if there is one"),
        Column("sound_mix", _TEXT, "", "how its channels were mixed to one"),
        Column("seconds_in", _DOUBLE, "s", "length of the video"),
        Column("seconds_kept", _DOUBLE, "s", "length of its kept clips"),
        Column("num_clips", _INT, "", "its kept clips"),
        Column("source", _TEXT, "", "source in the sample sheet"),
        Column("licence", _TEXT, "", "licence in the sample sheet"),
        Column("url", _TEXT, "", "address in the sample sheet"),
    ],
}

SCHEMAS["covog_losses"] = [
    Column("step", _INT, "", "optimiser steps done"),
    Column("kind", _TEXT, "", "train: the step's own batch; validation: fixed samples at fixed timesteps"),
    Column("loss", _DOUBLE, "", "weighted mean squared error"),
    Column(
        "error_by_noise",
        _FLOATS,
        "",
        "mean squared error without weights in each quarter of the timesteps, least noise first; NaN where no clip was",
    ),
    Column("gradient_norm", _FLOAT, "", "norm of all gradients before they are clipped"),
    Column("learning_rate", _DOUBLE, "", "learning rate of the step"),
    Column("images_per_s", _FLOAT, "1/s", "frames trained on, all processes together"),
    Column("memory_gb", _FLOAT, "GB", "peak memory so far, of the GPU or else of the process"),
]

SCHEMAS["covog_metrics"] = [
    Column(
        "model",
        _TEXT,
        "",
        "covog, baseline (no audio driver, no person masks), untrained, truth, still (each clip's reference picture repeated), paper "
        "(published row), or a model with another clip's sound",
    ),
    Column("part", _TEXT, "", "all, test_easy, test_hard; held_out_clips or held_out_ends without a test split"),
    Column("metric", _TEXT, "", "what was measured; the name says so if it is a stand-in"),
    Column("of", _TEXT, "", "everything, speaking or listening people, faces or hands"),
    Column("value", _DOUBLE, "", "mean over clips, NaN if skipped"),
    Column(
        "low",
        _DOUBLE,
        "",
        "lower bound of the mean's 95 % interval over clips (Student's t); NaN for fewer than three clips, for FVD and for the paper",
    ),
    Column("high", _DOUBLE, "", "its upper bound"),
    Column("clips", _INT, "", "clips measured"),
    Column("better", _TEXT, "", "up, down, or truth: best as the truth has it"),
    Column("note", _TEXT, "", "why it was skipped, what was held out, or where the value comes from"),
]

# Columns of find_candidates, measure_qualities and inspect_clips, then those of select_clips, then those of collect_dataset for each kept clip.
UNDERSTANDING = [
    Column("words_confidence", _FLOAT, "0-1", "mean probability of the clip's words; null without words"),
    Column(
        "not_understood_share",
        _FLOAT,
        "0-1",
        "fraction of the time of speech that the recogniser did not understand; null without speech",
    ),
    Column(
        "not_understood_s", _FLOATS, "s", "start and end of each such piece of speech in the clip, one after another"
    ),
    Column(
        "language",
        _TEXT,
        "",
        "language of most of the understood speech, as a two-letter code; empty if nothing was understood",
    ),
]

SCHEMAS["clips"] = [
    *SCHEMAS["candidates"],
    *SCHEMAS["qualities"][1:],
    *(c for c in SCHEMAS["inspections"] if c.name.endswith("_share")),
    *UNDERSTANDING,
    Column(
        "rejected_by",
        _TEXT,
        "",
        "gates that reject the clip (config keys), dissolve, review or removal, joined by commas; empty if none does",
    ),
    Column(
        "reviewed",
        _TEXT,
        "",
        "what reviewers decided about the clip or corrected in it (keep, drop, fields of the review file), joined by commas; empty if nothing",
    ),
    Column(
        "kept",
        _BOOL,
        "",
        "true if no gate rejects the clip or a reviewer keeps it, no reviewer drops it and nothing of it was removed: it is in the data set",
    ),
]

SCHEMAS["dataset"] = [
    *(c for c in SCHEMAS["clips"] if c.name not in ("candidate", "dissolve", "rejected_by", "kept")),
    *(c for c in SCHEMAS["annotations"] if c.name in ("num_frames", "width", "height", "bytes", "sha256")),
    Column("persons", _TEXTS, "", "names of the people in the table `people`, in the order of the column `people`"),
    Column("licence", _TEXT, "", "licence of the video in the sample sheet"),
    Column("url", _TEXT, "", "address of the video in the sample sheet"),
    Column("duplicate_of", _TEXT, "", "earlier clip that this one duplicates; empty if none"),
    Column("split", _TEXT, "", "train, val, test_easy or test_hard; duplicate and withheld are in none of them"),
    Column("hard_because", _TEXT, "", "why the clip counts as hard, joined by commas; also given in train"),
    Column("review", _TEXT, "", "checksum of what reviewers decided about the clip, notes too; empty if nothing"),
]

SCHEMAS["remembered"] = [
    Column("clip", _TEXT, "", "name of the clip; empty in the row of a video without clips"),
    *(c for c in SCHEMAS["dataset"] if c.name in ("video", "sha256", "split", "persons", "reviewed", "review")),
    Column("version", _INT, "", "version of the data set that had these clips, the same in each row"),
]

_SPLIT = Column("split", _TEXT, "", "split of that clip; empty if there is none")


def _turn(name: str, of: str) -> list[Column]:
    return [
        Column(f"{name}_person", _TEXT, "", f"who says {of}"),
        Column(f"{name}_start_frame", _INT, "frame", f"first frame of {of} in the video"),
        Column(f"{name}_end_frame", _INT, "frame", "one past its last frame"),
        Column(f"{name}_start_s", _DOUBLE, "s", "its start in the video"),
        Column(f"{name}_end_s", _DOUBLE, "s", "its end in the video"),
        Column(f"{name}_seen_share", _FLOAT, "0-1", "fraction of its frames in which the person is on screen"),
        Column(
            f"{name}_clip",
            _TEXT,
            "",
            "the clip of the person in which at least half of it lies; empty if there is none",
        ),
        Column(
            f"{name}_person_in_clip", _INT, "", "the person's number in that clip, from the left; -1 without a clip"
        ),
        Column(
            f"{name}_start_in_clip", _INT, "frame", "first frame in that clip, of what lies in it; -1 without a clip"
        ),
        Column(
            f"{name}_end_in_clip",
            _INT,
            "frame",
            "one past the last frame in that clip, of what lies in it; -1 without a clip",
        ),
        Column(f"{name}_words", _TEXT, "", "what the person says in it"),
    ]


SCHEMAS["turns"] = [
    _VIDEO,
    Column("split", _TEXT, "", "split of the clip of the reply, else of the turn; empty if neither lies in a clip"),
    *_turn("turn", "the turn"),
    *_turn("reply", "the reply to it"),
    Column(
        "gap_s", _FLOAT, "s", "from the end of the turn to the start of the reply; negative if the reply begins before"
    ),
    Column("overlap_s", _FLOAT, "s", "how long both speak at once there"),
    Column(
        "turn_person_seen",
        _TEXT,
        "",
        "where the person of the turn is when the reply begins: on_screen, previous_shot (seen in the shot before) or away",
    ),
]

SCHEMAS["listening"] = [
    _VIDEO,
    Column("listener", _TEXT, "", "who listens, on screen"),
    Column("speaker", _TEXT, "", "to whom"),
    Column(
        "start_frame", _INT, "frame", "first frame in the video; a segment lies in one shot and in one clip or none"
    ),
    Column("end_frame", _INT, "frame", "one past the last frame"),
    Column("start_s", _DOUBLE, "s", "start in the video"),
    Column("end_s", _DOUBLE, "s", "end in the video"),
    Column("clip", _TEXT, "", "the clip in which it lies; empty if there is none"),
    _SPLIT,
    Column("listener_in_clip", _INT, "", "the listener's number in that clip, from the left; -1 without a clip"),
    Column("speaker_in_clip", _INT, "", "the speaker's number in that clip, from the left; -1 if the clip has none"),
    Column("start_in_clip", _INT, "frame", "first frame in that clip; -1 without a clip"),
    Column("end_in_clip", _INT, "frame", "one past the last frame in that clip; -1 without a clip"),
    Column("face_height_px", _FLOAT, "px", "median height of the listener's face"),
    Column("speaker_seen_share", _FLOAT, "0-1", "fraction of the frames in which the speaker is on screen too"),
    Column("num_backchannels", _INT, "", "utterances of the listener that begin in it and are shorter than a second"),
    Column("listener_speaks_s", _FLOAT, "s", "how long the listener speaks meanwhile, without getting the turn"),
]

SCHEMAS["changes"] = [
    Column("clip", _TEXT, "", "name of the clip; empty if it was removed on request"),
    Column("video", _TEXT, "", "id of its video in the sample sheet; empty if it was removed on request"),
    Column("change", _TEXT, "", "added, removed or changed"),
    Column(
        "why",
        _TEXT,
        "",
        "new video, review, gate or model; the reason it is gone (removal: on request); or what changed: split, persons, review, labels or pictures",
    ),
    Column("before", _TEXT, "", "split or persons before"),
    Column("after", _TEXT, "", "split or persons now"),
]


def schema(name: str) -> pa.Schema:
    """Return the Arrow schema of a table of `SCHEMAS`."""
    return pa.schema([pa.field(c.name, c.type) for c in SCHEMAS[name]])
