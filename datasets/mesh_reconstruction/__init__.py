"""Data of single-image mesh reconstruction: 24 views and the voxels of each object.

`Builder` is the TFDS builder; it is imported on first use, so that a trainer that
reads TFRecords does not pay for tensorflow-datasets.
"""


def __getattr__(name):
    if name == "Builder":
        from datasets.mesh_reconstruction import mesh_reconstruction_dataset_builder

        return mesh_reconstruction_dataset_builder.Builder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
