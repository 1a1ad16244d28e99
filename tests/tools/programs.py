"""Runs programs for tests, and exports the small model that they need."""

import json
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

from tests.models.mini import MINI
from tfrender import models
from tfrender.export import rendernet as export_rendernet

# Flags of tools.render_dataset as they are parsed, for pictures of 64 x 64.
RENDER_DATASET = {
    "system": "rendernet",
    "augment": 0,
    "class_file": None,
    "layout": "records",
    "style": "normal",
    "resolution": 8,
    "views": 2,
    "polar_range": ["10", "170"],
    "radius_range": ["2.9", "4.5"],
    "projection": "orthographic",
    "supersample": 1,
    "fill": 0.9,
    "seed": 0,
    "split_file": None,
    "held_out": ["0.1", "0.1"],
    "shard_records": 4,
    "skip_broken": False,
}
# The same for mesh reconstruction: what is RenderNet's alone is left out.
RENDER_VIEWS = {
    **RENDER_DATASET,
    **dict.fromkeys(
        ["style", "resolution", "views", "polar_range", "radius_range", "projection"]
    ),
    "system": "mesh_reconstruction",
    "fill": None,
}


def run_inside(module, **flags):
    """Calls main() of a program in this process, its flags given as they are parsed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FLAGS", types.SimpleNamespace(**flags))
        module.main()


def launch(module, *arguments):
    """Runs `python -m module`; returns the finished process."""
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
    )


# Prints the flags of each program, which share names and so cannot be defined together.
_LIST_FLAGS = """
import importlib, json, sys
from absl import flags
found = {}
for name in sys.argv[1:]:
    module = importlib.import_module(name)
    getattr(module, "define_flags", lambda: None)()
    found[name] = sorted(flags.FLAGS)
    for flag in found[name]:
        delattr(flags.FLAGS, flag)
print(json.dumps(found))
"""


def flags_of(modules):
    """Flags of programs by module, read in another process."""
    done = subprocess.run(
        [sys.executable, "-c", _LIST_FLAGS, *modules],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def last_error(done):
    """The last line on stderr of a program that failed as a program should."""
    assert done.returncode == 1, (done.stdout, done.stderr[-2000:])
    assert "Traceback" not in done.stderr, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: "), last
    return last


def mini_model(channels=3):
    """RenderNet of 8^3 voxels whose normals look about towards the camera."""
    keras.utils.set_random_seed(1)
    model = models.RenderNet(**MINI, channels=channels)
    variables = [v for v in model.trainable_variables if "e_conv11" in v.path]
    (bias,) = (v for v in variables if v.shape == (channels,))
    bias.assign(np.array([0.0, 0.0, 4.0][-channels:], np.float32))
    (kernel,) = (v for v in variables if len(v.shape) == 4)
    kernel.assign(3000.0 * kernel)  # so that pictures differ from pose to pose
    return model


def write_model(folder, channels=3):
    """Exports `mini_model`; returns the folder."""
    model = mini_model(channels)
    return export_rendernet.write(str(folder), model, shaded=channels == 3)
