"""How far two pictures of one object are from the shapes predicted from them."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from tfrender.cameras import Camera
from tfrender.losses.silhouettes import silhouette_iou_loss


def two_view_losses(
    renderer: Callable,
    shapes: Sequence[dict],
    faces,
    cameras: Sequence[Camera],
    images: Sequence[tf.Tensor],
    *,
    straight: bool = False,
) -> dict[str, tf.Tensor]:
    """Compares each of two predicted shapes with each of the two pictures.

    Both pictures show one object, so the shape predicted from either must fit both
    silhouettes; the loss is the mean of the four terms (Kato et al., CVPR 2018,
    section 4.1, and the published code).

    Args:
        renderer: a `layers.MeshLayer` of the pictures' size, without lights, on black.
        shapes: two dicts, "vertices" [B, V, 3] and, for the colour term in both,
            "colors" [B, V, 3], predicted from the first and the second picture.
        faces: [F, 3] integers.
        cameras: of the two pictures, batch B or 1.
        images: two of [B, H, W, 4] in [0, 1], colour on black and coverage.
        straight: True for a renderer whose colours are at full strength as far as its
            soft edges reach, as those of `layers.SoftRasterizer` are.

    Returns:
        "silhouette" [B] mean of 1 - IoU; with colours "color" [B] mean absolute
        difference of colours on black, over all pixels and channels.

    Gradient: that of the renderer. Memory: that of rendering 4 B pictures.
    """
    vertices = tf.concat([shape["vertices"] for shape in shapes] * 2, axis=0)
    batch = tf.shape(images[0])[0]
    # One projection may serve all cameras of a picture.
    matrices = [
        [tf.broadcast_to(matrix, [batch, 4, 4]) for matrix in camera]
        for camera in cameras
    ]
    four = [
        tf.concat([first, first, second, second], axis=0)
        for first, second in zip(*matrices, strict=True)
    ]
    target = tf.concat([images[0], images[0], images[1], images[1]], axis=0)
    arguments = {"outputs": ("alpha",)}
    if "colors" in shapes[0]:
        colors = tf.concat([shape["colors"] for shape in shapes] * 2, axis=0)
        arguments = {"outputs": ("alpha", "rgb"), "vertex_colors": colors}
    pictures = renderer(vertices, faces, Camera(*four), **arguments)
    found = {"silhouette": silhouette_iou_loss(target[..., 3:], pictures["alpha"])}
    if "rgb" in pictures:
        color = pictures["rgb"] * pictures["alpha"] if straight else pictures["rgb"]
        difference = tf.abs(color - target[..., :3])
        found["color"] = tf.reduce_mean(difference, axis=[1, 2, 3])
    return {
        name: tf.reduce_mean(tf.reshape(value, [4, -1]), axis=0)
        for name, value in found.items()
    }
