"""The renderer with which single-image mesh reconstruction was trained."""

import keras
import numpy as np
import tensorflow as tf

from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer


@keras.saving.register_keras_serializable(package="tfrender")
class CornerAlignedRenderer(NeuralMeshRenderer):
    """Neural Mesh Renderer with the anti-aliasing of the reconstruction code.

    The picture of k times the size is not averaged but sampled: its corner samples
    become the corner pixels, and what lies between is bilinear. Projected faces are
    stretched by (k S - 1) / (k S - k), S the side of the picture, so that objects keep
    their size, depths included. For comparison with the published system; the mean over
    the samples that `NeuralMeshRenderer` takes uses every sample.

    Settings, call arguments and output: see `NeuralMeshRenderer`; "mask", "face_index",
    "barycentric" and "normal" are those of the stretched picture. Pictures are square.

    Raises:
        ValueError: for a picture that is not square.
    """

    def __init__(self, image_size=(64, 64), *args, **kwargs):
        super().__init__(image_size, *args, **kwargs)
        if self.image_size[0] != self.image_size[1]:
            raise ValueError(
                f"`image_size` must be square; got {list(self.image_size)}."
            )

    def project(self, scene):
        """See `NeuralMeshRenderer.project`."""
        k, side = self.supersampling, self.image_size[1]
        stretch = 1.0 if k == 1 else (k * side - 1) / (k * side - k)
        return super().project(scene) * stretch

    def filter_samples(self, samples):
        """See `MeshLayer.filter_samples`."""
        height, width = self.image_size
        rows = _aligned_weights(samples.shape[1], height)
        columns = _aligned_weights(samples.shape[2], width)
        return tf.einsum("hi,bijc,wj->bhwc", rows, samples, columns)


def _aligned_weights(source: int, target: int) -> np.ndarray:
    """Weights [target, source] of a linear resize that keeps the two end samples."""
    place = np.linspace(0.0, source - 1.0, target)
    distance = np.abs(place[:, np.newaxis] - np.arange(source))
    return np.maximum(0.0, 1.0 - distance).astype(np.float32)
