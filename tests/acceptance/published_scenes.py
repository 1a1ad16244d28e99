"""What the published unit tests of the Neural 3D Mesh Renderer share.

As there, the object is item 2 of a batch of 4 whose other meshes are all zeros.
"""

import numpy as np

# Half the field of view is 30 degrees, and the picture holds [-1, 1] one unit ahead.
EYE = np.float32([0.0, 0.0, -(1.0 / np.tan(np.radians(30.0)) + 1.0)])
ITEM, BATCH = 2, 4
OUTSIDE = [[0.8, 0.8, 1.0], [0.0, -0.5, 1.0], [0.2, -0.4, 1.0]]
INSIDE = [[0.8, 0.8, 1.0], [-0.5, -0.8, 1.0], [0.8, -0.8, 1.0]]
SLOPES = {
    "outside": (
        [1.6725862, -0.26021874, 0.0],
        [1.41986704, -1.64284933, 0.0],
        [0.0, 0.0, 0.0],
    ),
    "inside": (
        [0.98646867, 1.04628897, 0.0],
        [-1.03415668, -0.10403691, 0.0],
        [3.00094461, -1.55173182, 0.0],
    ),
}


def among_zeros(array):
    """Item 2 of 4, the others zeros."""
    array = np.asarray(array)
    batch = np.zeros((BATCH, *array.shape), array.dtype)
    batch[ITEM] = array
    return batch
