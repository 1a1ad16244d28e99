"""The four published examples of the Neural 3D Mesh Renderer.

    python -m tools.renderer_examples --example=1 --output_dir=examples   # turntable
    python -m tools.renderer_examples --example=2 --output_dir=examples   # vertices
    python -m tools.renderer_examples --example=3 --output_dir=examples   # colours
    python -m tools.renderer_examples --example=4 --output_dir=examples   # camera

1 draws the teapot from all around. 2 bends it until its silhouette is a square, 3
paints it until it looks like a picture, 4 finds the camera of a silhouette. Settings
are the published ones (hiroharu-kato/neural_renderer 1.1.3), the camera too, whose
pictures are mirrored. Writes exampleN.gif, and for 2 and 4 exampleN_optimization.gif.
"""

import pathlib
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from tfrender import cameras, io
from tfrender.geometry import normalize_to_unit_cube
from tfrender.layers.neural_mesh_renderer import NeuralMeshRenderer
from tools import cli, optimize_scene, progress

FLAGS = flags.FLAGS
ROOT = pathlib.Path(__file__).parents[1]
DATA = "tests/data/neural_renderer"
DISTANCE = 2.732
_FPS = 20.0


class Recipe(NamedTuple):
    """Published settings of an example.

    Attributes:
        picture: file of the goal.
        rate: of Adam.
        beta_1: of Adam.
        steps: at most.
        goal: loss at which it stops, 0 for never.
    """

    picture: str
    rate: float
    beta_1: float
    steps: int
    goal: float = 0.0


RECIPES = {
    2: Recipe("example2_ref.png", 1e-3, 0.9, 300),
    3: Recipe("example3_ref.png", 0.1, 0.5, 300),
    4: Recipe("example4_ref.png", 0.1, 0.9, 1000, goal=70.0),
}
EYE_AT_START = (6.0, 10.0, -14.0)  # of example 4, which looks for
TRUE_VIEW = (DISTANCE, 30.0, -15.0)  # distance, elevation, azimuth


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_enum("example", None, ["1", "2", "3", "4"], "Which.", required=True)
    flags.DEFINE_string("output_dir", None, "Folder for the GIFs.", required=True)
    flags.DEFINE_string("mesh", str(ROOT / DATA / "teapot.obj"), "Mesh, +Y up.")
    flags.DEFINE_string("picture", None, "Goal of the examples 2 to 4, own pictures.")
    flags.DEFINE_integer("image_size", 256, "Height and width of pictures.", 16, 1024)
    flags.DEFINE_integer("steps", None, "In place of the published number.", 1)
    flags.DEFINE_integer("frames_every", 4, "Steps between frames of a film.", 1)
    flags.DEFINE_integer("seed", 0, "Decides the views of example 3.", 0)


def load_object(path) -> tuple[tf.Tensor, np.ndarray]:
    """A mesh as the original places it: the longest side spans [-1, 1].

    Args:
        path: mesh file.

    Returns:
        vertices [1, V, 3], faces int32 [F, 3].
    """
    mesh = io.load_mesh(path)
    vertices = 2.0 * normalize_to_unit_cube(mesh.vertices)[0]
    return tf.constant(vertices[np.newaxis]), mesh.faces


def load_picture(path, size: int) -> tf.Tensor:
    """A goal, [1, size, size, 3] in [0, 1]."""
    picture = io.read_image(path, channels=3) / np.float32(255)
    if picture.shape[:2] != (size, size):
        picture = tf.image.resize(picture, (size, size), "bilinear", antialias=True)
    return tf.clip_by_value(picture, 0.0, 1.0)[tf.newaxis]


def eye_at(distance, elevation_deg, azimuth_deg) -> tf.Tensor:
    """World positions of cameras, the original's get_points_from_angles: [B, 3]."""
    view = cameras.orbit(azimuth_deg, elevation_deg, distance)
    return -tf.linalg.matvec(view[:, :3, :3], view[:, :3, 3], transpose_a=True)


def film_of(draw, elevation_deg: float) -> np.ndarray:
    """A turntable, uint8 [N, H, W, C]; `draw` takes a camera."""

    def at(azimuth):
        eyes = eye_at(DISTANCE, np.full_like(azimuth, elevation_deg), azimuth)
        return draw(cameras.from_neural_renderer(eyes))

    return optimize_scene.turn(at)


def fit(loss_of, variable, recipe: Recipe, inputs_of=None, watch=None) -> list[float]:
    """Descends by Adam, as published.

    Args:
        loss_of: inputs -> scalar; traced once.
        variable: of Keras.
        recipe: Recipe.
        inputs_of: draws the inputs of a step, an array; None draws none.
        watch: called with the number of steps done, after each.

    Returns:
        The loss of each step, before the step.
    """
    optimizer = keras.optimizers.Adam(recipe.rate, beta_1=recipe.beta_1, epsilon=1e-8)
    optimizer.build([variable])

    @tf.function
    def step(inputs):
        with tf.GradientTape() as tape:
            loss = loss_of(inputs)
        optimizer.apply(tape.gradient(loss, [variable]), [variable])
        return loss

    losses = []
    for _ in progress.bar(range(recipe.steps), "steps"):
        inputs = inputs_of() if inputs_of else np.zeros([], np.float32)
        losses.append(float(step(inputs)))
        if watch:
            watch(len(losses))
        if losses[-1] < recipe.goal:
            break
    return losses


class Film:
    """Collects every n-th picture of an optimisation.

    Args:
        draw: () -> picture [H, W, C] in [0, 1].
        every: n.
    """

    def __init__(self, draw, every: int):
        self.draw, self.every, self.frames = tf.function(draw), every, []

    def __call__(self, step: int):
        """Takes a picture when its time has come."""
        if (step - 1) % self.every == 0:
            picture = np.clip(self.draw().numpy(), 0.0, 1.0)
            self.frames.append(io.to_uint8(picture))


def turntable(vertices, faces, size: int) -> dict:
    """Example 1: the mesh from all around, in white.

    Args:
        vertices: [1, V, 3].
        faces: [F, 3].
        size: height and width of pictures.

    Returns:
        name of a film -> frames.
    """
    layer = NeuralMeshRenderer((size, size), outputs=("rgb",))
    return {"": film_of(lambda view: layer(vertices, faces, view)["rgb"], 30.0)}


def bend(vertices, faces, goal, recipe: Recipe, every: int) -> tuple[dict, list]:
    """Example 2: moves vertices until the silhouette from the side is the goal.

    Args:
        vertices: [1, V, 3].
        faces: [F, 3].
        goal: [1, S, S, 3].
        recipe: Recipe.
        every: steps between the frames of the film.

    Returns:
        name of a film -> frames; losses.
    """
    layer = NeuralMeshRenderer(goal.shape[1:3])
    side = cameras.from_neural_renderer(eye_at(DISTANCE, 0.0, 90.0))
    target = tf.reduce_mean(goal, -1, keepdims=True)
    variable = keras.Variable(vertices, name="vertices")

    def seen():
        return layer.silhouettes(tf.convert_to_tensor(variable), faces, side)

    film = Film(lambda: seen()[0], every)
    losses = fit(
        lambda _: tf.reduce_sum((seen() - target) ** 2), variable, recipe, watch=film
    )
    bent = tf.convert_to_tensor(variable)
    turned = film_of(lambda view: layer(bent, faces, view)["rgb"], 0.0)
    return {"": turned, "_optimization": film.frames}, losses


def paint(vertices, faces, goal, recipe: Recipe, seed: int) -> tuple[dict, list]:
    """Example 3: paints until the mesh looks like the goal from every side.

    Args:
        vertices: [1, V, 3].
        faces: [F, 3].
        goal: [1, S, S, 3].
        recipe: Recipe.
        seed: decides the sides.

    Returns:
        name of a film -> frames; losses.
    """
    layer = NeuralMeshRenderer(goal.shape[1:3], lights=None, outputs=("rgb",))
    variable = keras.Variable(np.zeros([len(faces), 4, 4, 4, 3], np.float32))
    rng = np.random.default_rng(seed)

    def draw(view):
        cubes = tf.tanh(tf.convert_to_tensor(variable))
        return layer(vertices, faces, view, texture_cubes=cubes)["rgb"]

    def loss(azimuth):
        eye = eye_at(DISTANCE, 0.0, azimuth)
        view = cameras.from_neural_renderer(eye, viewing_scale=1.0)
        return tf.reduce_sum((draw(view) - goal) ** 2)

    losses = fit(loss, variable, recipe, lambda: np.float32(rng.uniform(0.0, 360.0)))

    def look(azimuth):
        eyes = eye_at(DISTANCE, 0.0 * azimuth, azimuth)
        return draw(cameras.from_neural_renderer(eyes, viewing_scale=1.0))

    return {"": optimize_scene.turn(look)}, losses


def find_camera(vertices, faces, goal, recipe: Recipe, every: int) -> tuple:
    """Example 4: moves the camera until the silhouette is that of the goal.

    Args:
        vertices: [1, V, 3].
        faces: [F, 3].
        goal: [1, S, S, 3]; what is not black is the object.
        recipe: Recipe.
        every: steps between the frames of the film.

    Returns:
        name of a film -> frames; losses; the eye [3].
    """
    layer = NeuralMeshRenderer(goal.shape[1:3])
    target = tf.cast(tf.reduce_max(goal, -1, keepdims=True) > 0.0, tf.float32)
    variable = keras.Variable(EYE_AT_START, name="eye")

    def camera():
        return cameras.from_neural_renderer(tf.convert_to_tensor(variable))

    def loss(_):
        seen = layer.silhouettes(vertices, faces, camera())
        return tf.reduce_sum((seen - target) ** 2)

    def picture():
        rgb = layer(vertices, faces, camera())["rgb"][0]
        return 0.7 * rgb + 0.3 * target[0] * [0.3, 0.6, 1.0]  # the goal in blue

    film = Film(picture, every)
    losses = fit(loss, variable, recipe, watch=film)
    film(1)  # where it ends
    return {"": film.frames}, losses, variable.numpy()


def main():
    """Draws or fits, writes."""
    example, folder = int(FLAGS.example), pathlib.Path(FLAGS.output_dir)
    output = folder / f"example{example}.gif"
    optimize_scene.check_output(output, [".gif"])
    vertices, faces = load_object(FLAGS.mesh)
    losses = []
    if example == 1:
        films = turntable(vertices, faces, FLAGS.image_size)
    else:
        recipe = RECIPES[example]
        recipe = recipe._replace(steps=FLAGS.steps or recipe.steps)
        picture = FLAGS.picture or ROOT / DATA / recipe.picture
        goal = load_picture(picture, FLAGS.image_size)
        scene = (vertices, faces, goal, recipe)
    if example == 2:
        films, losses = bend(*scene, FLAGS.frames_every)
    elif example == 3:
        films, losses = paint(*scene, FLAGS.seed)
    elif example == 4:
        films, losses, eye = find_camera(*scene, FLAGS.frames_every)
        true = eye_at(*TRUE_VIEW)[0].numpy()
        print(f"eye {eye.round(3)}; that of the published picture is {true.round(3)}")
    for word, frames in films.items():
        io.write_gif(folder / f"example{example}{word}.gif", frames, fps=_FPS)
    if losses:
        print(f"loss {losses[0]:.1f} -> {losses[-1]:.1f} in {len(losses)} steps")
    print(f"wrote {output}")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
