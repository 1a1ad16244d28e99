"""Draws held-out pictures, the clouds predicted from them, and the truth.

    python -m tools.draw_points --predictions=OUT --data_dir=DATA --split=test \
        --output=docs/point_clouds.png

OUT is an --output_dir of tools.predict_points. Four pictures an object: the one that
the network was given, its cloud from the same side and turned by 120 degrees, and the
true points turned alike. Objects are shown whatever their score, in order of name.
"""

import numpy as np
from absl import flags

from datasets.drwr import pipeline, truth
from datasets.dvr import pictures
from tfrender import cameras, io
from tools import cli, point_files, point_pictures

FLAGS = flags.FLAGS
_TURN_DEG = 120.0
_TRUE_COLOR = (0.85, 0.55, 0.25)


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("predictions", None, "Folder of predictions.", required=True)
    flags.DEFINE_string("data_dir", None, "Folder of the records.", required=True)
    flags.DEFINE_string("truth", None, "True points; DATA_DIR/truth by default.")
    flags.DEFINE_string("split", "test", "Split that was predicted.")
    flags.DEFINE_string("output", None, "PNG file.", required=True)
    flags.DEFINE_integer("view", 0, "Picture of each object that is shown.", 0)
    flags.DEFINE_integer("objects_a_row", 2, "Objects side by side.", 1, 16)
    flags.DEFINE_integer("size", 128, "Pixels a side of a picture.", 16, 1024)


def row(image, camera: cameras.Camera, cloud, points) -> list[np.ndarray]:
    """Pictures of an object.

    Args:
        image: float [S, S, 3] in [0, 1], given.
        camera: its Camera, batch 1.
        cloud: predicted [N, 3].
        points: true [M, 3].

    Returns:
        four uint8 pictures.
    """
    side = FLAGS.size
    radians = np.radians(_TURN_DEG)
    turn = np.eye(4)
    turn[0, 0] = turn[2, 2] = np.cos(radians)
    turn[0, 2], turn[2, 0] = np.sin(radians), -np.sin(radians)
    turned = cameras.Camera(
        np.asarray(camera.world_to_camera) @ turn, camera.projection
    )
    points = points[: len(cloud)]
    return [
        pictures.resize(io.to_uint8(np.asarray(image).clip(0.0, 1.0)), (side, side)),
        io.to_uint8(point_pictures.draw(cloud, camera, side)),
        io.to_uint8(point_pictures.draw(cloud, turned, side)),
        io.to_uint8(point_pictures.draw(points, turned, side, colors=_TRUE_COLOR)),
    ]


def main():
    """Draws all objects of the split."""
    cli.check_output_file(FLAGS.output, (".png",), "--output")
    data = FLAGS.data_dir
    names = pipeline.objects_of(data, FLAGS.split)
    found = point_files.find_predictions(FLAGS.predictions)
    missing = [name for name in names if found.get(name) is None]
    if missing:
        raise ValueError(
            f"--predictions: {len(missing)} of {len(names)} objects of {FLAGS.split} "
            f"have none; {missing[0]} is the first."
        )
    clouds = truth.find(FLAGS.truth or f"{data}/truth", names)
    views = pipeline.form_of(data, FLAGS.split).views
    if FLAGS.view >= views:
        raise ValueError(f"--view: expected less than {views}; got {FLAGS.view}.")
    tiles = []
    batches = pipeline.evaluation_batches(data, FLAGS.split, 1, input_size=FLAGS.size)
    for name, path, batch in zip(names, clouds, batches, strict=True):
        place = slice(FLAGS.view, FLAGS.view + 1)
        camera = cameras.Camera(
            batch["world_to_camera"][0, place], batch["projection"][0, place]
        )
        predicted = point_files.read_prediction(found[name]).points[FLAGS.view]
        tiles += row(batch["image"][0, FLAGS.view], camera, predicted, truth.read(path))
    sheet = io.tile_images(tiles, columns=4 * FLAGS.objects_a_row)
    io.write_png(FLAGS.output, sheet)
    print(f"wrote {FLAGS.output}: {len(names)} objects")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
