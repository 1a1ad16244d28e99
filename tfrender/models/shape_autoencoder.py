"""RenderNet's shape decoder: code to occupancy grid.

Nguyen-Phuoc et al., NeurIPS 2018, section 4.3: the shape prior of inverse rendering.
The encoder was never published.
"""

import keras

from tfrender.layers import ConvUnit

# Arguments of `shape_decoder`.
PRESETS = {
    "paper": {"code_size": 200, "start_size": 4, "filters": (256, 128, 64, 32, 16)},
    "tiny": {"code_size": 16, "start_size": 2, "filters": (16, 8, 8, 4, 4)},
}


def shape_decoder(code_size=200, start_size=4, filters=(256, 128, 64, 32, 16)):
    """Shape code to occupancy.

    Args:
        code_size: length of the code.
        start_size: side of the first grid.
        filters: channels of the first grid and of the four doublings.

    Returns:
        keras.Model [B, code_size] -> [B, n, n, n, 1] in (0, 1), n = 16 start_size.
    """
    code = keras.Input((code_size,), name="shape_code")
    features = keras.layers.Dense(
        start_size**3 * filters[0],
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        bias_initializer=keras.initializers.Constant(0.001),
        name="g_gc1",
    )(code)
    features = keras.layers.Reshape((start_size,) * 3 + (filters[0],))(features)
    steps = [*((width, 2, "elu") for width in filters[1:]), (1, 1, "sigmoid")]
    for i, (width, stride, activation) in enumerate(steps, 1):
        features = ConvUnit(
            "conv3d_transpose",
            width,
            4,
            stride,
            activation=activation,
            bias_value=0.001,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name=f"g_conv{i}",
        )(features)
    return keras.Model(code, features, name="shape_decoder")
