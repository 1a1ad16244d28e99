"""Runs a trainer with several lists of flags in one process; imports cost seconds."""

import json
import subprocess
import sys

# The last line of each run begins with TOLD.
_PROGRAM = """
import importlib, json, sys
from absl import flags
from tfrender.ops import default_form
from tools import cli
_, name, form = sys.argv
trainer = importlib.import_module(f"trainers.{name}")
for line in sys.stdin:
    flags.FLAGS.unparse_flags()
    for flag in flags.FLAGS:
        flags.FLAGS[flag].unparse()
    try:
        flags.FLAGS([name, *json.loads(line)])
        with default_form(form):
            trainer.main()
        print("TOLD nothing", flush=True)
    except (ValueError, OSError, flags.Error) as error:
        print("TOLD", cli.describe(error), flush=True)
"""


def answers(trainer, lines, form="graph"):
    """What each list of flags is answered with: "nothing", or the line of an error.

    The graph form has nothing to compile.
    """
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, trainer, form],
        input="\n".join(map(json.dumps, lines)),
        capture_output=True,
        text=True,
        timeout=600,
    )
    found = [line[5:] for line in done.stdout.splitlines() if line[:4] == "TOLD"]
    assert len(found) == len(lines), done.stdout + done.stderr
    return found
