"""The main job from end to end on real meshes, in about five minutes on two cores.

    python -m tools.demo --output_dir=demo

Real meshes -> voxels and pictures -> RenderNet trained -> SavedModel -> pictures of
held-out objects, drawn by a process that does not import tfrender. Then the shipped
mesh reconstructor makes a mesh of a picture of a car that it has not seen, and the
shipped implicit shape of a chair is drawn from all sides and made a mesh, and points
are fitted to silhouettes of the car.
"""

import pathlib
import shutil
import subprocess
import sys
import time

import numpy as np
from absl import flags

from datasets import records
from datasets.mesh_reconstruction import generation
from datasets.rendernet import examples
from tfrender import io
from tools import cli

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).parents[1]
MESHES = ROOT / "tfrender" / "assets" / "meshes"
CAR, CAR_VIEW = "car/gazebo_hatchback_red.obj", 3  # a view of its front and a side
RESOLUTION = 32
FRAMES = 36
# Camera and light of the turntable: the original demo's, a little nearer.
POLAR_DEG, RADIUS, LIGHT = 65.0, 2.9, (250.0, 60.0)


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string("output_dir", "demo", "Folder for everything that is made.")
    flags.DEFINE_integer("steps", 3000, "Training steps.", 1)
    flags.DEFINE_integer("views", 24, "Pictures of each training object.", 1)


def run(title: str, *command: str) -> None:
    """Runs a program of this checkout and shows what it prints.

    Args:
        title: what is being done.
        *command: arguments of python.

    Raises:
        ValueError: the program failed; it has told why.
    """
    print(f"\n== {title}\n   python {' '.join(command)}", flush=True)
    start = time.monotonic()
    done = subprocess.run([sys.executable, *command], cwd=ROOT, check=False)
    if done.returncode:
        raise ValueError(f"{command[1]} ended with status {done.returncode}.")
    print(f"   {time.monotonic() - start:.0f} s", flush=True)


def turntable_request(data: pathlib.Path) -> tuple[dict[str, np.ndarray], int]:
    """Inputs of a turntable of every held-out object.

    Args:
        data: folder of the records.

    Returns:
        arrays by input name, [objects * FRAMES, ...]; and the number of objects.
    """
    voxels: dict[str, np.ndarray] = {}
    stream = records.record_stream(
        str(data), "test", shuffle=False, cycle=False, schema=examples.SCHEMA
    )
    for record in stream:
        _, grid, _, name = examples.decode_arrays(record.numpy())
        voxels.setdefault(name, grid)
    grids = np.stack([voxels[name] for name in sorted(voxels)])
    azimuth = np.arange(FRAMES) * (360.0 / FRAMES)
    pose = [azimuth, np.full(FRAMES, POLAR_DEG), np.full(FRAMES, RADIUS)]
    count = len(grids) * FRAMES
    request = {
        "voxels": np.repeat(grids[..., np.newaxis], FRAMES, axis=0).astype(np.uint8),
        "pose": np.tile(np.stack(pose, -1), (len(grids), 1)).astype(np.float32),
        "light": np.tile(np.float32(LIGHT), (count, 1)),
    }
    return request, len(grids)


def write_turntable(answer: pathlib.Path, objects: int, path: pathlib.Path) -> None:
    """One animated picture of all objects side by side.

    Args:
        answer: npz with `shaded` [objects * FRAMES, H, W, 3].
        objects: number of objects.
        path: GIF file.
    """
    with np.load(answer) as file:
        shaded = file["shaded"]
    frames = shaded.reshape(objects, FRAMES, *shaded.shape[1:])
    margin = shaded.shape[1] // 6  # objects fill the middle of a picture
    frames = frames[:, :, margin:-margin, margin:-margin]
    strips = [np.concatenate(list(frames[:, i]), axis=1) for i in range(FRAMES)]
    io.write_gif(path, strips, fps=12)


def write_picture(path: pathlib.Path) -> None:
    """One view of a bundled car as a picture with alpha.

    Args:
        path: PNG file.
    """
    settings = generation.ViewSettings(fill=0.9)
    drawn = generation.draw_object(str(MESHES / CAR), CAR, settings)
    color, alpha = np.split(drawn.images[CAR_VIEW] / 255.0, [3], axis=-1)
    straight = color / np.maximum(alpha, 1e-6)  # the data have colours on black
    image = np.concatenate([np.minimum(straight, 1.0), alpha], axis=-1)
    io.write_png(path, io.to_uint8(image))


def main():
    """Makes the data, trains, draws, scores, reconstructs."""
    folder = pathlib.Path(FLAGS.output_dir).resolve()
    data, model = folder / "data", folder / "run" / "saved_model"
    start = time.monotonic()
    run(
        "1/7 voxels and pictures of the bundled meshes",
        *("-m", "tools.render_dataset", f"--input={MESHES}", f"--output={data}"),
        f"--split_file={MESHES / 'split.json'}",
        *(f"--resolution={RESOLUTION}", f"--views={FLAGS.views}"),
    )
    run(
        "2/7 training the `tiny` preset, exporting it",
        *("-m", "trainers.rendernet", "--flagfile=configs/rendernet/demo.cfg"),
        *(f"--data_dir={data}", f"--output_dir={folder / 'run'}"),
        *(f"--steps={FLAGS.steps}", "--overwrite"),
    )
    request, objects = turntable_request(data)
    np.savez_compressed(folder / "request.npz", **request)
    shutil.copy(ROOT / "tools" / "stock_client.py", folder / "stock_client.py")
    run(
        "3/7 a turntable of held-out objects, drawn without tfrender",
        *(str(folder / "stock_client.py"), str(model)),
        *(str(folder / "request.npz"), str(folder / "answer.npz")),
    )
    write_turntable(folder / "answer.npz", objects, folder / "turntable.gif")
    run(
        "4/7 held-out pictures beside baselines",
        *("-m", "tools.evaluate_rendernet", f"--model={model}"),
        *(f"--data_dir={data}", f"--output_dir={folder}"),
    )
    write_picture(folder / "car.png")
    run(
        "5/7 a mesh of a picture",
        *("-m", "tools.reconstruct", f"--input={folder / 'car.png'}"),
        f"--output_obj={folder / 'car.obj'}",
        f"--output_gif={folder / 'car.gif'}",
    )
    shape = str(ROOT / "saved_models" / "dvr_multiview")
    run(
        "6/7 the mesh and a turn of a chair learned from 20 pictures",
        *("-m", "tools.generate_meshes", f"--model={shape}"),
        *(f"--output_dir={folder / 'chair'}", "--refinement_steps=0"),
    )
    run(
        "    drawn",
        *("-m", "tools.render", f"--model={shape}", "--n_views=8"),
        *("--image_size=96,128", "--distance=1.9", "--march_samples=96"),
        f"--render_dir={folder / 'chair'}",
    )
    run(
        "7/7 points fitted to 16 silhouettes of the car",
        *("-m", "tools.fit_points", f"--input={MESHES / CAR}"),
        *("--losses=surface", "--steps=400", f"--output_dir={folder / 'points'}"),
    )
    minutes = (time.monotonic() - start) / 60
    print(f"\nDone in {minutes:.1f} minutes. Look at:")
    print(f"  {folder}/turntable.gif       held-out objects, network and Phong light")
    print(f"  {folder}/contact_sheet.png   voxels | network | rasterised truth, twice")
    print(f"  {folder}/car.gif, car.obj   a mesh of the picture car.png")
    print(f"  {folder}/chair              a learned chair: its mesh, pictures, a GIF")
    print(f"  {folder}/points/clouds.png  true points of the car, and those fitted")
    print(f"  {model}   for a server, with its model card")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
