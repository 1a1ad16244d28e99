"""Unpacks the meshes of Debian's package sweethome3d-furniture.

    apt-get install --no-install-recommends sweethome3d-furniture
    python -m tools.unpack_furniture --output=data/furniture

820 meshes of furniture, cars and household things (CC0 and CC-BY 3.0, see LICENSE.TXT
in each archive) become OUTPUT/ARCHIVE/NAME.obj: geometry only, +Y up, front towards
-Z, coincident duplicate faces removed. With --by_class they become
OUTPUT/CLASS/ARCHIVE-NAME.obj, the class told by the English name in the catalogue.
"""

import collections
import pathlib
import re
import sys
import tempfile
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
from absl import flags

from tfrender import io
from tfrender.io import FormatError
from tools import cli, progress

# The catalogue's front is +Z, ours is -Z.
_HALF_TURN = np.diag([-1.0, 1.0, -1.0])
_LARGEST_FILE = 2**28
_CATALOGUE = "PluginFurnitureCatalog.properties"
_OTHER = "other"
# The first rule with a word or phrase of the name decides. So what a thing is stands
# above what it is for or what is on it: a desk lamp is a lamp, a bedside table a
# cabinet, a Seat Leon no seat.
_CLASS_RULES = (
    (_OTHER, "table fan, tennis bat, tv remote control, intercom with screen"),
    (_OTHER, "abdominal bench, armchair ottoman, toilet brush, toilet paper dispenser"),
    ("car", "car, car model, chevrolet, ford, peugeot, renault, sedan, seat leon, suv"),
    ("car", "bus, truck, van, vw"),
    ("cycle", "bicycle, bike, motorbike, scooter, tricycle, yamaha"),
    ("airplane", "biplane"),
    ("person", "boy, female, girl, male"),
    ("lamp", "candle, chandelier, flashlight, fluorescent, lamp, lamppost, lantern"),
    ("lamp", "light, spotlight"),
    ("cabinet", "bedside table, bookcase, cabinet, cupboard, dresser, shelves"),
    ("cabinet", "filing, tv stand, vanity, wardrobe"),
    ("bench", "bench, little bank, wood bank"),  # Spanish banco
    ("chair", "armchair, chair, class seat, stool"),
    ("bed", "opened convertible sofa"),
    ("sofa", "couch, sofa"),
    ("bed", "bed, crib, futon"),
    ("table", "desk, table, workbench"),
    ("door", "door"),
    ("window", "window"),
    ("display", "imac, ibook, laptop, screen, tv"),
    ("appliance", "boiler, cooker, cooktop, dryer machine, freezer, fridge, hood"),
    (
        "appliance",
        "microwave, oven, refrigerator, stove, washing machine, water heater",
    ),
    ("sanitary", "basin, bath, bathtub, bidet, jacuzzi, lavatory, shower stall, sink"),
    ("sanitary", "toilets, urinal, washbasin"),
    ("plant", "acacia, bamboo, beech, blossom, bush, cactus, cypress, ficus, flowers"),
    ("plant", "hedge, lily, maple, orchids, pine, plant, poplar, spathiphyllum, tree"),
    ("plant", "tulips, yucca"),
    ("bottle", "bottle, flacon, jar, vase"),
    ("radiator", "radiator"),
    ("socket", "plug, socket, switch"),
)

FLAGS = flags.FLAGS


class Model(NamedTuple):
    """A model of the catalogue.

    Attributes:
        name: in English.
        rotation: [3, 3] to apply to its vertices.
    """

    name: str
    rotation: np.ndarray


def define_flags() -> None:
    """Defines the flags; not at import, because names are global to a process."""
    flags.DEFINE_string(
        "package_dir",
        "/usr/share/sweethome3d/furniture",
        "Folder of the .sh3f archives.",
    )
    flags.DEFINE_string("output", None, "Folder for the meshes.", required=True)
    flags.DEFINE_string(
        "list", None, "Text file; only the ARCHIVE:PATH entries in its first column."
    )
    flags.DEFINE_bool("by_class", False, "A folder for each class: chair, lamp ...")


def read_catalogue(archive: zipfile.ZipFile) -> dict[str, Model]:
    """Models of an archive.

    Args:
        archive: opened .sh3f file.

    Returns:
        path of the OBJ file inside the archive -> `Model`.
    """
    try:
        text = archive.read(_CATALOGUE).decode("latin-1")
    except KeyError:
        raise FormatError(f"{archive.filename}: holds no {_CATALOGUE}.") from None
    fields = dict(re.findall(r"^(\w+#\d+)\s*=\s*(.*?)\s*$", text, flags=re.M))
    models = {}
    for key, value in fields.items():
        if not key.startswith("model#"):
            continue
        rotation = fields.get(key.replace("model#", "modelRotation#"))
        matrix = np.eye(3)
        if rotation:
            matrix = np.array(rotation.split(), float).reshape(3, 3)
        name = fields.get(key.replace("model#", "name#"), "")
        models[value.lstrip("/")] = Model(name, matrix)
    return models


def class_of(name: str) -> str:
    """Class of a model.

    Args:
        name: in English, as in the catalogue.

    Returns:
        The class of the first rule of the table that fits, or "other".
    """
    for found, phrases in _CLASS_RULES:
        choices = "|".join(map(re.escape, phrases.split(", ")))
        if re.search(rf"\b({choices})s?\b", name, flags=re.I):
            return found
    return _OTHER


def object_name(archive: str, path: str) -> str:
    """Name of a model: archive and folder, without spaces and slashes.

    Args:
        archive: file name of the archive.
        path: path of the OBJ file inside it.

    Returns:
        Such as `Scopia/chair3`.
    """
    stem = pathlib.PurePosixPath(path)
    folder = stem.parent.name
    name = stem.stem if folder == stem.stem else f"{folder}-{stem.stem}"
    return f"{pathlib.Path(archive).stem}/{re.sub(r'[^A-Za-z0-9-]+', '-', name)}"


def convert(
    archive: zipfile.ZipFile, path: str, rotation, target: pathlib.Path
) -> None:
    """Writes one model as OBJ.

    Args:
        archive: opened .sh3f file.
        path: path of the OBJ file inside it.
        rotation: [3, 3].
        target: file to write.

    Raises:
        FormatError: the model is broken.
    """
    try:
        info = archive.getinfo(path)
    except KeyError:
        raise FormatError(f"{path}: listed in the catalogue, not packed.") from None
    if info.file_size > _LARGEST_FILE:
        raise FormatError(f"{path}: {info.file_size} bytes are too many for a model.")
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / pathlib.PurePosixPath(path).name
        try:
            with archive.open(info) as packed, open(source, "wb") as file:
                for line in packed:
                    # Geometry only, and some models hold faces of two corners.
                    short = line.startswith(b"f ") and len(line.split()) < 4
                    if not (short or line.startswith(b"mtllib")):
                        file.write(line)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise FormatError(f"{path}: cannot be unpacked ({error}).") from error
        mesh = io.load_mesh(source, strict=False)
    faces = io.remove_coincident_faces(mesh.vertices, mesh.faces)[0]
    vertices = mesh.vertices @ (_HALF_TURN @ rotation).T
    target.parent.mkdir(parents=True, exist_ok=True)
    io.save_mesh(target, vertices.astype(np.float32), faces)


def _opened(path: pathlib.Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise FormatError(f"{path}: expected a zip archive; {error}.") from error


def main():
    """Unpacks every archive."""
    folder = pathlib.Path(FLAGS.package_dir)
    archives = sorted(folder.glob("*.sh3f"))
    if not archives:
        raise FileNotFoundError(
            f"{folder}: no .sh3f archive; install the package sweethome3d-furniture."
        )
    wanted = None
    if FLAGS.list:
        lines = pathlib.Path(FLAGS.list).read_text(encoding="utf-8").splitlines()
        wanted = {line.split("\t")[0] for line in lines}
    broken, output = [], pathlib.Path(FLAGS.output)
    counts = collections.Counter()
    for path in archives:
        with _opened(path) as archive:
            models = read_catalogue(archive)
            if wanted is not None:
                models = {
                    k: v for k, v in models.items() if f"{path.name}:{k}" in wanted
                }
            for name, model in progress.bar(models.items(), path.stem):
                place = object_name(path.name, name)
                if FLAGS.by_class:
                    place = f"{class_of(model.name)}/{place.replace('/', '-')}"
                try:
                    convert(archive, name, model.rotation, output / f"{place}.obj")
                except ValueError as error:
                    broken.append(name)
                    print(f"left out: {cli.describe(error)}", file=sys.stderr)
                    continue
                counts[place.split("/")[0]] += 1
    for name, number in sorted(counts.items()):
        print(f"{name}: {number}")
    count = len(list(output.rglob("*.obj")))
    print(f"{count} meshes in {output}, {len(broken)} broken ones left out")


if __name__ == "__main__":
    define_flags()
    cli.run(main)
