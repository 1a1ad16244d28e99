"""A small experiment on real record files, and a program over it for subprocesses.

The picture is y = sigmoid of a convolution of x; Dropout, BatchNormalization and an
Adam schedule are there because each has state that a resume can lose.
"""

import os
import signal

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from datasets import records
from tools import cli
from trainers import loop
from trainers.flags import Settings, define, define_finite

SCHEMA = records.Schema("toy", 1)
SIZE = (4, 6)
_FEATURES = {
    "x": tf.io.FixedLenFeature([*SIZE, 1], tf.float32),
    "y": tf.io.FixedLenFeature([*SIZE, 1], tf.float32),
}


def write_data(directory, train=30, test=7):
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("test", test)):
        with records.RecordWriter(directory, split, 8, SCHEMA) as writer:
            for _ in range(count):
                x = rng.uniform(size=[*SIZE, 1]).astype(np.float32)
                y = 1 / (1 + np.exp(2 - 4 * x))
                writer.write(example(x, y))
    return str(directory)


def example(x, y):
    feature = {
        name: tf.train.Feature(float_list=tf.train.FloatList(value=value.ravel()))
        for name, value in (("x", x), ("y", y))
    }
    message = tf.train.Example(features=tf.train.Features(feature=feature))
    return message.SerializeToString()


def model(dropout=0.3, width=4, norm=True):
    layers = [
        keras.Input([*SIZE, 1]),
        keras.layers.Conv2D(width, 3, padding="same", activation="silu"),
    ]
    if norm:
        layers.append(keras.layers.BatchNormalization(synchronized=True))
    if dropout:
        layers.append(keras.layers.Dropout(dropout))
    return keras.Sequential([*layers, keras.layers.Conv2D(1, 3, padding="same")])


def experiment(
    settings, dropout=0.3, width=4, norm=True, nan_from=None, nan_steps=10**9, hook=None
):
    """`hook(step)` is called on the host in each step, before the forward pass."""

    def dataset(split, start, batch_size):
        train = split == "train"
        stream = records.record_stream(
            settings.data_dir, split, settings.seed, start, train, train, SCHEMA
        )
        stream = stream.enumerate(start)

        def parse(k, record):
            fields = tf.io.parse_single_example(record, _FEATURES)
            step = k // batch_size
            if train and nan_from is not None:
                bad = (step >= nan_from) & (step < nan_from + nan_steps)
                fields["x"] = tf.where(bad, np.nan, fields["x"])
            return fields

        return stream.map(parse).batch(batch_size, drop_remainder=train)

    def loss(network, batch, training, step):
        if hook is not None and training:
            tf.py_function(hook, [step], [])
        y = tf.sigmoid(tf.cast(network(batch["x"], training=training), tf.float32))
        error = tf.reduce_mean((y - batch["y"]) ** 2, axis=[1, 2, 3])
        return error, {"psnr": -10 * tf.math.log(error) / np.log(10.0)}

    def export(network, directory):
        archive = keras.export.ExportArchive()
        archive.track(network)
        spec = [tf.TensorSpec([None, *SIZE, 1], tf.float32, name="x")]
        archive.add_endpoint("serve", lambda x: {"y": tf.sigmoid(network(x))}, spec)
        archive.write_out(directory, verbose=False)

    def images(network, batch):
        return {"prediction": tf.sigmoid(network(batch["x"])), "target": batch["y"]}

    schedule = keras.optimizers.schedules.ExponentialDecay(
        settings.learning_rate, 5, 0.96
    )
    return loop.Experiment(
        name="toy",
        model=lambda: model(dropout, width, norm),
        optimizer=lambda: keras.optimizers.Adam(schedule),
        dataset=dataset,
        loss=loss,
        export=export,
        images=images,
        card=lambda: {"What it is": "A toy."},
        best=("psnr", "max"),
    )


if __name__ == "__main__":
    define(steps=12, batch_size=4, learning_rate=0.01)
    define_finite("dropout", 0.3, "Share of units dropped.", 0.0, 0.9)
    flags.DEFINE_bool("norm", True, "Batch normalisation.")

    def main():
        settings = Settings.from_flags()
        # By environment, since a continued run must have the same flags.
        fault = os.environ.get("TOY_FAULT", "")  # "7 KILL": SIGKILL in step 7
        number, name = (fault or "-1 KILL").split()

        def hook(step):
            if int(step) == int(number):
                os.kill(os.getpid(), getattr(signal, f"SIG{name}"))

        built = experiment(
            settings,
            dropout=flags.FLAGS.dropout,
            norm=flags.FLAGS.norm,
            hook=hook if fault else None,
        )
        result = loop.train(built, settings)
        if "TOY_WEIGHTS" in os.environ:
            weights = [v.numpy() for v in result.model.variables]
            np.savez(os.environ["TOY_WEIGHTS"], *weights)

    cli.run(main)
