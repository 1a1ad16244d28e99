"""Networks that turn a picture into the code of a shape.

Niemeyer et al., "Differentiable Volumetric Rendering", CVPR 2020, supplement: ResNet-18
(He et al., CVPR 2016) in the form of torchvision, so that its ImageNet weights fit
(`models.encoder_weights`), or five strided convolutions. The "small" network is ours,
for CPUs.

The `encoder_weights` module finds layers by the names given here: those of torchvision
with _ in place of the dots.
"""

import keras

from tfrender import checks

# Blocks of each stage, and whether a block is a bottleneck (1x1, 3x3, 1x1).
RESNETS = {
    "resnet18": ((2, 2, 2, 2), False),
    "resnet34": ((3, 4, 6, 3), False),
    "resnet50": ((3, 4, 6, 3), True),
    "resnet101": ((3, 4, 23, 3), True),
}
KINDS = (*RESNETS, "simple_conv", "small")
FEATURES, HEAD = "features", "fc"  # layers before and at the end

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
_STAGES = (64, 128, 256, 512)
_EXPANSION = 4  # of a bottleneck
_SIMPLE = (32, 64, 128, 256, 512)
_SIMPLE_SMALLEST = 63  # pixels; below, the fifth convolution has nothing to see
_SMALL = (64, 128, 192)
_GROUPS = 8


def image_encoder(
    kind: str, code_size: int, input_size: int | None = None
) -> keras.Model:
    """Builds a network from a picture to a code.

    Parameters without the head of (F + 1) * code_size: resnet18 11,176,512 (F = 512),
    resnet34 21,284,672 (512), resnet50 23,508,032 (2048), resnet101 42,500,160 (2048),
    simple_conv 1,568,576 (512), small 831,904 (192).

    The ResNets normalise over the batch as in the original (epsilon 1e-5, the running
    averages keep 0.9 of their value). One difference: PyTorch averages the unbiased
    variance of the batch, Keras the biased one; they differ by 1 / (B h w - 1).
    "small" normalises within each picture and needs no large batch.

    Args:
        kind: one of `KINDS`. The ResNets subtract mean and deviation of ImageNet
            themselves; "simple_conv" takes the picture as it is.
        code_size: C, width of the code.
        input_size: S, side of the square picture in pixels; None takes any size.

    Returns:
        keras.Model: [B, S, S, 3] in [0, 1] -> float32 [B, code_size]. Layers of note:
        "normalized" (ResNets), "features" (before the head) and "fc" (the head).

    Raises:
        ValueError: for an unknown kind or sizes out of range.
    """
    checks.one_of("kind", kind, KINDS)
    checks.between("code_size", code_size, 1, 2**16)
    if input_size is not None:
        smallest = _SIMPLE_SMALLEST if kind == "simple_conv" else 8
        checks.between("input_size", input_size, smallest, 2**13)
    image = keras.Input([input_size, input_size, 3], name="image")
    if kind in RESNETS:
        features = _resnet(image, *RESNETS[kind])
    elif kind == "simple_conv":
        features = _simple_conv(image)
    else:
        features = _small(image)
    code = _linear(code_size, features.shape[-1])(features)
    return keras.Model(image, code, name=kind)


def _resnet(image, counts, bottleneck):
    """Picture to features [B, 512 or 2048]."""
    layers = keras.layers
    x = layers.Normalization(
        mean=_IMAGENET_MEAN,
        variance=[deviation**2 for deviation in _IMAGENET_DEVIATION],
        name="normalized",
    )(image)
    x = _conv(x, 64, 7, 2, "conv1")
    x = layers.ReLU(name="relu1")(_batch_norm(x, "bn1"))
    # Values are 0 at least: a border of zeros never wins.
    x = layers.ZeroPadding2D(1, name="maxpool_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="maxpool")(x)
    for i, (filters, count) in enumerate(zip(_STAGES, counts, strict=True), 1):
        for j in range(count):
            stride = 2 if i > 1 and j == 0 else 1
            x = _block(x, filters, stride, bottleneck, f"layer{i}_{j}")
    return layers.GlobalAveragePooling2D(name=FEATURES)(x)


def _block(x, filters, stride, bottleneck, name):
    """A residual block; its 3x3 convolution has the stride, as in torchvision."""
    layers = keras.layers
    width = filters * _EXPANSION if bottleneck else filters
    plan = [(filters, 3, stride), (filters, 3, 1)]
    if bottleneck:
        plan = [(filters, 1, 1), (filters, 3, stride), (width, 1, 1)]
    shortcut = x
    if stride > 1 or x.shape[-1] != width:
        shortcut = _conv(x, width, 1, stride, f"{name}_downsample_0")
        shortcut = _batch_norm(shortcut, f"{name}_downsample_1")
    for k, (channels, side, step) in enumerate(plan, 1):
        x = _conv(x, channels, side, step, f"{name}_conv{k}")
        x = _batch_norm(x, f"{name}_bn{k}")
        if k < len(plan):
            x = layers.ReLU(name=f"{name}_relu{k}")(x)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu{len(plan)}")(x)


def _conv(x, filters, side, stride, name):
    """Convolution with PyTorch's padding and torchvision's initial weights."""
    # Keras' "same" pads strided convolutions behind more than before; PyTorch pads
    # both sides alike.
    padding = "same" if stride == 1 else "valid"
    if stride > 1 and side > 1:
        x = keras.layers.ZeroPadding2D(side // 2, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters,
        side,
        stride,
        padding,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(
            2.0, "fan_out", "untruncated_normal"
        ),
        name=name,
    )(x)


def _batch_norm(x, name):
    return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)


def _simple_conv(image):
    """Picture to features [B, 512]; no ReLU before the mean, one behind it."""
    layers = keras.layers
    x = image
    inputs = 3
    for i, filters in enumerate(_SIMPLE):
        kernel, bias = _uniform(9 * inputs)
        x = layers.Conv2D(
            filters,
            3,
            2,
            kernel_initializer=kernel,
            bias_initializer=bias,
            name=f"conv{i}",
        )(x)
        if i + 1 < len(_SIMPLE):
            x = layers.ReLU(name=f"relu{i}")(x)
        inputs = filters
    x = layers.GlobalAveragePooling2D(name="mean")(x)
    return layers.ReLU(name=FEATURES)(x)


def _small(image):
    """Picture to features [B, 192]: a stem and three strided residual stages."""
    layers = keras.layers
    x = layers.Rescaling(4.0, -2.0, name="rescaled")(image)
    x = _unit(x, 32, 2, "stem")
    for i, filters in enumerate(_SMALL, 1):
        x = _unit(x, filters, 2, f"stage{i}_1")
        x = layers.Add(name=f"stage{i}_add")([x, _unit(x, filters, 1, f"stage{i}_2")])
    return layers.GlobalAveragePooling2D(name=FEATURES)(x)


def _unit(x, filters, stride, name):
    """Convolution 3x3, normalisation over groups of channels, ReLU."""
    x = _conv(x, filters, 3, stride, f"{name}_conv")
    x = keras.layers.GroupNormalization(_GROUPS, epsilon=1e-5, name=f"{name}_norm")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _linear(units, inputs):
    kernel, bias = _uniform(inputs)
    return keras.layers.Dense(
        units,
        kernel_initializer=kernel,
        bias_initializer=bias,
        dtype="float32",  # a code is an input of geometry, under a mixed policy too
        name=HEAD,
    )


def _uniform(fan_in):
    """PyTorch's default: kernel and bias uniform within 1 / sqrt(fan_in)."""
    bound = fan_in**-0.5
    return (
        keras.initializers.VarianceScaling(1.0 / 3.0, "fan_in", "uniform"),
        keras.initializers.RandomUniform(-bound, bound),
    )
