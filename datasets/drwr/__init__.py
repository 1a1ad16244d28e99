"""Data of DRWR: pictures with silhouettes and cameras, several views of each object.

`Builder` is the TFDS builder; it is imported on first use, so that a trainer that
reads TFRecords does not pay for tensorflow-datasets.
"""


def __getattr__(name):
    if name == "Builder":
        from datasets.drwr import drwr_dataset_builder

        return drwr_dataset_builder.Builder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
