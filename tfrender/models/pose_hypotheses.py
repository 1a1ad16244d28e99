"""Start poses of RenderNet's inverse rendering.

Nguyen-Phuoc et al., NeurIPS 2018, section 4.3: five poses are followed at once, the
corners and the centre of a box of azimuth and polar angle.
"""

import math

import numpy as np


def five_poses(azimuth_mid, azimuth_range, polar_mid, polar_range):
    """Corners and centre of a box of poses, in the order of the original.

    Args:
        azimuth_mid: centre, degrees.
        azimuth_range: width of the box, degrees.
        polar_mid: centre, degrees from +Y.
        polar_range: height of the box, degrees.

    Returns:
        float32 [5, 3] azimuth and elevation in radians, scale 1: (low, low), (low,
        high), centre, (high, low), (high, high). The corners' azimuths lie in
        [0, 2 pi), the centre's is left as given.
    """
    low, high = ((azimuth_mid + s * azimuth_range) % 360.0 for s in (-0.5, 0.5))
    bottom, top = polar_mid - polar_range / 2, polar_mid + polar_range / 2
    poses = [(low, bottom), (low, top), (azimuth_mid, polar_mid)]
    poses += [(high, bottom), (high, top)]
    degree = math.pi / 180.0
    rows = [(phi * degree, (90.0 - theta) * degree, 1.0) for phi, theta in poses]
    return np.array(rows, np.float32)
