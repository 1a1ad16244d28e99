"""Runs the programs that make DVR's data, for tests."""

from datasets.dvr import layouts
from tests.tools import programs
from tools import make_dvr_records, make_dvr_scene

# Flags as they are parsed.
RECORDS = {
    "layout": "auto",
    "classes": None,
    "split": None,
    "held_out_views": None,
    "views": 0,
    "input_views": 0,
    "ignore_views": [],
    "image_size": 0,
    "input_size": None,
    "visual_hull": False,
    "hull_resolution": 12,
    "shard_records": 128,
    "seed": 0,
    **dict.fromkeys(
        f"{name}_{kind}"
        for name in ("img", "mask", "depth", "input")
        for kind in ("folder", "extension")
    ),
    "hull_depth_folder": None,
}
SCENE = {
    **dict.fromkeys(("output", "mesh", "images", "rescale", "masks", "colmap")),
    **dict.fromkeys(("poses", "fov", "center", "radius", "layout", "views")),
    **dict.fromkeys(("placement", "elevation", "elevation_range", "distance")),
    "image_size": ["12", "16"],
    "fill": 0.9,
    "supersample": 1,
    "points": 50,
    "hull_resolution": 0,
    "held_out": ["0.1", "0.1"],
    "class_file": None,
    "seed": 0,
}


def make_records(folder, output, **flags):
    """Makes records; inputs are small."""
    if flags.get("input_size") is None and (
        layouts.detect_layout(layouts.find_objects(folder)) != "dtu"
    ):
        flags["input_size"] = 5
    given = {"input": str(folder), "output": str(output)}
    programs.run_inside(make_dvr_records, **{**RECORDS, **given, **flags})
    return output


def make_scene(**flags):
    """Makes a scene folder."""
    programs.run_inside(make_dvr_scene, **{**SCENE, **flags})
