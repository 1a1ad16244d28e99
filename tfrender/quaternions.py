"""Rotations as quaternions (w, x, y, z), Hamilton product.

Insafutdinov and Dosovitskiy, NeurIPS 2018, and after them DRWR (Han et al., ICML 2020),
predict camera poses as quaternions of any length; they are normalised where they are
used, so that q and -q, and all their multiples, are one rotation.
"""

import tensorflow as tf

from tfrender import checks

_TINY = 1e-30  # of a squared length


def normalize_quaternion(quaternion: tf.Tensor) -> tf.Tensor:
    """Scales quaternions to length 1.

    Args:
        quaternion: [..., 4].

    Returns:
        [..., 4]; (1, 0, 0, 0) where the length is 0.

    Gradient: exact; none at length 0.

    Raises:
        ValueError: for a wrong shape.
    """
    quaternion = _checked("quaternion", quaternion)
    square = tf.reduce_sum(quaternion**2, axis=-1, keepdims=True)
    zero = square < _TINY
    unit = quaternion * tf.math.rsqrt(tf.where(zero, tf.ones_like(square), square))
    return tf.where(zero, tf.constant([1.0, 0.0, 0.0, 0.0], unit.dtype), unit)


def multiply_quaternions(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Hamilton product; the rotation of a product is `second` first, then `first`.

    Args:
        first: [..., 4], of any length.
        second: [..., 4], broadcast against it.

    Returns:
        [..., 4], not normalised.

    Gradient: exact in both.

    Raises:
        ValueError: for a wrong shape.
    """
    aw, ax, ay, az = tf.unstack(_checked("first", first), axis=-1)
    bw, bx, by, bz = tf.unstack(_checked("second", second), axis=-1)
    return tf.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def conjugate_quaternion(quaternion: tf.Tensor) -> tf.Tensor:
    """(w, -x, -y, -z): the inverse rotation.

    Args:
        quaternion: [..., 4].

    Returns:
        [..., 4].

    Gradient: exact.

    Raises:
        ValueError: for a wrong shape.
    """
    quaternion = _checked("quaternion", quaternion)
    return quaternion * tf.constant([1.0, -1.0, -1.0, -1.0], quaternion.dtype)


def rotate_points(points: tf.Tensor, quaternion: tf.Tensor) -> tf.Tensor:
    """Rotates points: q p q*, with q normalised.

    Args:
        points: [..., N, 3].
        quaternion: [..., 4], of any length.

    Returns:
        [..., N, 3].

    Gradient: exact in both.

    Raises:
        ValueError: for wrong shapes.
    """
    checks.dims("points", points, None, 3)
    matrix = quaternion_to_matrix(quaternion)[..., tf.newaxis, :, :]
    return tf.reduce_sum(matrix * _floating(points)[..., tf.newaxis, :], axis=-1)


def quaternion_to_matrix(quaternion: tf.Tensor) -> tf.Tensor:
    """Rotation matrices for column vectors.

    Args:
        quaternion: [..., 4], of any length; length 0 is no rotation.

    Returns:
        [..., 3, 3].

    Gradient: exact, through the normalisation.

    Raises:
        ValueError: for a wrong shape.
    """
    w, x, y, z = tf.unstack(normalize_quaternion(quaternion), axis=-1)
    rows = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ]
    return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_quaternion(matrix: tf.Tensor) -> tf.Tensor:
    """Quaternions of rotation matrices, also of half turns.

    Shepperd's method: of the four formulas the one that divides by the largest
    component. (w = sqrt(1 + trace) / 2 alone, as published, fails at half turns.)

    Args:
        matrix: [..., 3, 3] rotations.

    Returns:
        [..., 4] unit, w >= 0.

    Gradient: exact for rotations, finite everywhere.

    Raises:
        ValueError: for a wrong shape.
    """
    matrix = _floating(matrix)
    checks.dims("matrix", matrix, 3, 3)
    m = [[matrix[..., i, j] for j in range(3)] for i in range(3)]
    one = tf.ones_like(m[0][0])
    # Row k: the quaternion times four times its component k.
    w = [one + m[0][0] + m[1][1] + m[2][2], *(_odd(m, k) for k in range(3))]
    candidates = [tf.stack(w, axis=-1)]
    for k in range(3):
        i, j = (k + 1) % 3, (k + 2) % 3
        row = [_odd(m, k), None, None, None]
        row[1 + k] = one + m[k][k] - m[i][i] - m[j][j]
        row[1 + i], row[1 + j] = m[i][k] + m[k][i], m[j][k] + m[k][j]
        candidates.append(tf.stack(row, axis=-1))
    table = tf.stack(candidates, axis=-2)  # [..., 4, 4]
    largest = tf.argmax(tf.linalg.diag_part(tf.stop_gradient(table)), axis=-1)
    found = tf.gather(table, largest, axis=-2, batch_dims=table.shape.rank - 2)
    found = normalize_quaternion(found)
    return tf.where(found[..., :1] < 0.0, -found, found)


def average_quaternions(quaternions: tf.Tensor) -> tf.Tensor:
    """Mean rotation: the eigenvector of the largest eigenvalue of the sum of q q^T.

    Markley et al., "Averaging Quaternions", 2007; signs and lengths do not count.

    Args:
        quaternions: [..., K, 4], of any length.

    Returns:
        [..., 4] unit, w >= 0.

    Gradient: that of the eigenvector; not to be trusted where two eigenvalues agree.

    Raises:
        ValueError: for a wrong shape.
    """
    unit = normalize_quaternion(quaternions)
    checks.dims("quaternions", unit, None, 4)
    _, vectors = tf.linalg.eigh(tf.linalg.matmul(unit, unit, transpose_a=True))
    found = vectors[..., -1]
    return tf.where(found[..., :1] < 0.0, -found, found)


def rotation_angle(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Angle between two rotations.

    Args:
        first: [..., 4], of any length.
        second: [..., 4], of any length.

    Returns:
        [...] radians in [0, pi].

    Gradient: exact away from 0, where it is 0.

    Raises:
        ValueError: for a wrong shape.
    """
    turn = multiply_quaternions(
        conjugate_quaternion(normalize_quaternion(first)), normalize_quaternion(second)
    )
    square = tf.reduce_sum(turn[..., 1:] ** 2, axis=-1)
    still = square < _TINY
    sine = tf.where(still, tf.zeros_like(square), tf.sqrt(tf.where(still, 1.0, square)))
    # By the arc tangent: the arc cosine of w has no digits near 0.
    return 2.0 * tf.atan2(sine, tf.abs(turn[..., 0]))


def _odd(m, k):
    """Twice the axis k of the antisymmetric part: 4 w times component k."""
    i, j = (k + 1) % 3, (k + 2) % 3
    return m[j][i] - m[i][j]


def _checked(name, value):
    value = _floating(value)
    checks.dims(name, value, 4)
    return value


def _floating(value):
    """As `ops.floating.as_float`, which this module cannot import: ops need cameras."""
    value = tf.convert_to_tensor(value)
    return value if value.dtype.is_floating else tf.cast(value, tf.float32)
