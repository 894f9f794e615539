"""Names and groups of the 133 COCO-WholeBody keypoints, so that code uses no bare index.

Source of the order: COCO-WholeBody (Jin et al., ECCV 2020). Left and right are the person's own.
"""

BODY_NAMES = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow "
    "left_wrist right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
).split()
FOOT_NAMES = "left_big_toe left_small_toe left_heel right_big_toe right_small_toe right_heel".split()
HAND_NAMES = ["wrist"] + [
    f"{finger}_{joint}" for finger in ("thumb", "index", "middle", "ring", "little") for joint in range(1, 5)
]

NAMES = (
    BODY_NAMES
    + FOOT_NAMES
    + [f"face_{i}" for i in range(68)]
    + [f"left_hand_{n}" for n in HAND_NAMES]
    + [f"right_hand_{n}" for n in HAND_NAMES]
)
COUNT = len(NAMES)
INDEX = {name: i for i, name in enumerate(NAMES)}

BODY = slice(0, 17)
FEET = slice(17, 23)
FACE = slice(23, 91)
LEFT_HAND = slice(91, 112)
RIGHT_HAND = slice(112, 133)

LEFT_SHOULDER = INDEX["left_shoulder"]
RIGHT_SHOULDER = INDEX["right_shoulder"]

# The face group follows the 68-point scheme of iBUG 300-W (Sagonas et al., 2013): contour 0-16 from
# the person's right ear to the left, brows 17-26, nose 27-35, eyes 36-47, outer lips 48-59, inner lips 60-67.
CONTOUR_RIGHT = INDEX["face_0"]
CHIN = INDEX["face_8"]
CONTOUR_LEFT = INDEX["face_16"]
NOSE_BRIDGE_END = INDEX["face_30"]
# The published face box is bounded by these four (CovOG): 23, 31, 39 and 53.
FACE_BOX_POINTS = [CONTOUR_RIGHT, CHIN, CONTOUR_LEFT, NOSE_BRIDGE_END]
# What of the contour moves with the mouth.
JAW = slice(FACE.start + 3, FACE.start + 14)
OUTER_LIPS = slice(FACE.start + 48, FACE.start + 60)
INNER_LIPS = slice(FACE.start + 60, FACE.start + 68)

# Bones of head, trunk, arms and legs, between points that exist.
_BODY_LIMBS = [
    ("left_ear", "left_eye"), ("left_eye", "nose"), ("nose", "right_eye"), ("right_eye", "right_ear"), ("left_shoulder", "right_shoulder"),
    ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
    ("left_shoulder", "left_hip"), ("right_shoulder", "right_hip"), ("left_hip", "right_hip"), ("left_hip", "left_knee"),
    ("left_knee", "left_ankle"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
]  # fmt: skip
BODY_LIMBS = [(INDEX[a], INDEX[b]) for a, b in _BODY_LIMBS]

HAND_LIMBS = [
    (start + (0 if joint == 0 else 4 * finger + joint), start + 4 * finger + joint + 1)
    for start in (LEFT_HAND.start, RIGHT_HAND.start)
    for finger in range(5)
    for joint in range(4)
]
