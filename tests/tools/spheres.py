"""Fields that are known: a coloured ball, or one whose radius a picture tells."""

import tensorflow as tf

from tfrender.export import saved_model

RADIUS = 0.3
SIDE = 4  # pixels of the picture that the encoder takes


class Ball(tf.Module):
    """Occupancy 10 (r - |p|); red left, green right."""

    def __init__(self, colors=True, conditional=False):
        """Keeps what the signatures hold."""
        super().__init__()
        self.colors = colors
        self.radius = tf.Variable(RADIUS)
        points = tf.TensorSpec([None, None, 3], tf.float32, name="points")
        code = tf.TensorSpec([None, 1], tf.float32, name="code")
        image = tf.TensorSpec([None, SIDE, SIDE, 3], tf.float32, name="image")
        field = self.field_of_code if conditional else self.field
        specs = [points, code] if conditional else [points]
        found = {"field": tf.function(field, input_signature=specs)}
        if conditional:
            found["encode"] = tf.function(self.encode, input_signature=[image])
        self.found = {n: f.get_concrete_function() for n, f in found.items()}

    def field(self, points):
        return self.field_of_code(points, self.radius)

    def field_of_code(self, points, code):
        radius = code + 0.0 * self.radius  # without a variable no export
        outputs = {"occupancy": 10.0 * (radius - tf.norm(points + 1e-9, axis=-1))}
        if self.colors:
            right = tf.cast(points[..., :1] > 0.0, tf.float32)
            outputs["color"] = tf.concat([1.0 - right, right, 0.0 * right], axis=-1)
        return outputs

    def encode(self, image):
        return {"code": 0.5 * tf.reduce_mean(image, axis=[1, 2, 3])[:, tf.newaxis]}


def write(folder, **settings):
    """Exports a ball; returns the folder as text."""
    ball = Ball(**settings)
    return saved_model.write_saved_model(str(folder), ball, ball.found)
