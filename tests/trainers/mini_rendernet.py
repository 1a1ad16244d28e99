"""trainers.rendernet with a preset of 8^3 voxels, as a program for subprocesses.

    python -m tests.trainers.mini_rendernet '[["--flag=1", ...], ...]'

Each list of flags is one run, one after the other; the last weights are written to
OUTPUT_DIR.npz. MINI_FAULT=K ends the process by SIGKILL in step K.
"""

import dataclasses
import json
import os
import signal
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from absl import flags

from tests.tools.programs import MINI
from tfrender.models import rendernet as model
from trainers import loop, rendernet

model.PRESETS["mini"] = MINI
_FAULT = int(os.environ.get("MINI_FAULT", "-1"))
_train = loop.train


def _with_fault(loss):
    """The loss, and the end of the process in step _FAULT."""

    def end(step):
        if int(step) == _FAULT:
            os.kill(os.getpid(), signal.SIGKILL)

    def faulty(network, batch, training, step):
        if training:
            tf.py_function(end, [step], [])
        return loss(network, batch, training, step)

    return faulty


def train(experiment, settings):
    """Trains and writes the last weights beside the folder of the run."""
    loss = _with_fault(experiment.loss) if _FAULT >= 0 else experiment.loss
    experiment = dataclasses.replace(experiment, loss=loss, images=None)  # for speed
    result = _train(experiment, settings)
    weights = [v.numpy() for v in result.model.trainable_variables]
    np.savez(f"{settings.output_dir}.npz", *weights)
    return result


if __name__ == "__main__":
    loop.train = train
    for given in json.loads(sys.argv[1]):
        flags.FLAGS.unparse_flags()
        for name in flags.FLAGS:
            flags.FLAGS[name].unparse()
        flags.FLAGS([sys.argv[0], *given])
        rendernet.main()
