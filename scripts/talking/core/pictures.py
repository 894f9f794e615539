"""Parts of pictures, warped without aliasing."""

import cv2
import numpy as np


def warped(picture: np.ndarray, to_part: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the part (height, width, 3) of a picture, `size` (width, height), that the similarity `to_part` (2, 3) leads to.

    What lies beyond the picture is black. A picture that shrinks is first averaged over each new pixel's area: OpenCV's warp
    only ever looks at four pixels.
    """
    scale = np.sqrt(abs(np.linalg.det(to_part[:, :2])))
    if scale < 1:
        height, width = picture.shape[:2]
        shape = np.maximum(np.round([width * scale, height * scale]), 1).astype(int)
        picture = cv2.resize(picture, shape.tolist(), interpolation=cv2.INTER_AREA)
        # The middle of a pixel is half a pixel from its edge, in the small picture and in the large one.
        grow = np.array([width, height]) / shape
        linear = to_part[:, :2] * grow
        to_part = np.column_stack([linear, to_part[:, 2] + to_part[:, :2] @ ((grow - 1) / 2)])
    return cv2.warpAffine(picture, to_part, size, flags=cv2.INTER_LINEAR)
