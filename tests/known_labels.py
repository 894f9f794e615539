"""A conversation's truth, and labels of it without a fault, in which tests make faults."""

import pandas as pd

from talking.scoring.results import Labels
from talking.scoring.truth import Truth
from talking.speech import turns
from talking.speech.turns import Turn

FRAMES = 400
CUT = 200
BOXES = {"anna": (100, 100, 200, 220), "ben": (400, 110, 500, 230)}
# Anna speaks in the first shot, Ben in the second; Zoe is never on screen.
TURNS = [Turn(0.0, 4.0, "anna"), Turn(5.0, 7.0, "zoe"), Turn(9.0, 15.0, "ben")]
TRACKS = {("anna", 0): 0, ("ben", 0): 1, ("anna", 1): 2, ("ben", 1): 3}


def truth(**more) -> Truth:
    rows = [(f, person, *box) for f in range(FRAMES) for person, box in BOXES.items()]
    frame = pd.DataFrame(rows, columns=["frame", "person", "x1", "y1", "x2", "y2"])
    return Truth(frame, TURNS, shots=[(0, CUT), (CUT, FRAMES)], **more)


def true_labels() -> Labels:
    """Labels without a fault."""
    spoken = turns.spoken_frames(TURNS, FRAMES)
    rows = [
        (TRACKS[person, int(f >= CUT)], int(f >= CUT), f, *box, True, 1.0, 2.0 if spoken[person][f] else -2.0, person)
        for f in range(FRAMES)
        for person, box in BOXES.items()
    ]
    columns = ["track", "shot", "frame", "x1", "y1", "x2", "y2", "detected", "confidence", "score", "who"]
    full = pd.DataFrame(rows, columns=columns)
    speaking = full[["track", "frame", "score"]].assign(
        score_smooth=full["score"], speaking=full["score"] > 0, speaking_confidence=0.9
    )
    clips = pd.DataFrame({"start_frame": [0, CUT], "end_frame": [CUT, FRAMES], "num_people": 2, "kept": True})
    words = pd.DataFrame(
        {
            "word": ["hello", "there", "off", "right"],
            "start_s": [0.5, 1.0, 6.0, 10.0],
            "end_s": [0.9, 1.4, 6.4, 10.5],
            "track": pd.array([0, 0, None, 3], dtype="Int32"),
        }
    )
    identities = pd.DataFrame({"video": "v", "track": [0, 1, 2, 3], "person": ["p1", "p2", "p1", "p2"]})
    shots = pd.DataFrame({"start_frame": [0, CUT], "end_frame": [CUT, FRAMES]})
    tracks = full.drop(columns=["score", "who"])
    return Labels(tracks, shots, speaking, clips, identities, list(TURNS), words)
