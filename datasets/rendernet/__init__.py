"""RenderNet's data: pictures of voxel models from known poses.

`Builder` is the TFDS builder; it is imported on first use, so that a trainer that
reads TFRecords does not pay for tensorflow-datasets.
"""


def __getattr__(name):
    if name == "Builder":
        from datasets.rendernet.rendernet_dataset_builder import Builder

        return Builder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
