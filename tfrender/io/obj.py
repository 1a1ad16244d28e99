"""Wavefront OBJ with MTL: several materials, textures, separate uv indices.

Written here rather than left to a library because the libraries accept broken files
(index 0, NaN, missing textures) and split vertices where texture seams run.
"""

import logging
import os

import numpy as np

from tfrender.io import images
from tfrender.io.errors import FormatError, LimitError
from tfrender.io.mesh_record import Material, Mesh, check_counts, validate_mesh

_LOG = logging.getLogger(__name__)
_LONGEST_LINE = 2**20
_LONGEST_FILE = 4 * 2**30
_OTHER = frozenset(
    "vn vp o g s l p usemap maplib mg lod bevel c_interp d_interp shadow_obj "
    "trace_obj deg cstype curv curv2 surf parm trim hole scrv sp end con".split()
)
# Options of map_Kd before the file name: how many words follow (at most).
_MAP_OPTIONS = {
    "-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1,
    "-imfchan": 1, "-mm": 2, "-o": 3, "-s": 3, "-t": 3, "-texres": 1,
}  # fmt: skip


def read_obj(path: str, strict: bool = True, allow_outside: bool = False) -> Mesh:
    """Reads an OBJ file with the materials that it names.

    Polygons are cut into fans from their first corner (concave ones may fold).
    Degenerate faces are kept. A missing MTL or texture gives one warning.

    Args:
        path: the file.
        strict: False drops texture coordinates with wrong indices and unreadable
            textures, with a warning.
        allow_outside: open MTL files and textures that lie outside the folder.

    Returns:
        A `Mesh`.

    Raises:
        FileNotFoundError: no such file.
        FormatError: naming the path and the line.
        LimitError: the file is too large.
    """
    parser = _Parser(path)
    for number, words in _lines(path):
        parser.feed(number, words)
    corners, face, uv_corners = parser.triangles(strict)
    vertices, faces = validate_mesh(parser.vertex_array(), corners, path)
    uv = None
    if uv_corners is not None:
        with np.errstate(over="ignore"):
            table = np.array([(0.0, 0.0), *parser.uv]).astype(np.float32)
        uv = table[uv_corners + 1]
        if not np.isfinite(uv).all():
            raise FormatError(f"{path}: expected texture coordinates below 3e38.")
    if parser.unknown:
        _LOG.warning(
            "%s: %d lines with unknown keywords skipped, first %r.",
            path,
            sum(parser.unknown.values()),
            next(iter(parser.unknown)),
        )
    return Mesh(
        vertices,
        faces,
        uv,
        np.array(parser.material, np.int32)[face],
        _read_materials(parser, path, strict, allow_outside),
        parser.color_array(),
    )


class _Parser:
    """State of one OBJ file while its lines are read."""

    def __init__(self, path: str):
        self.path = path
        self.vertices, self.colors, self.uv = [], [], []
        self.corners, self.uv_corners = [], []  # of all faces, one after another
        self.sizes, self.line_of, self.material = [], [], []  # one a face
        self.names, self.libraries, self.unknown = [], [], {}
        self.current = -1  # index of the material in force

    def feed(self, number: int, words: list[str]) -> None:
        """Takes in one line, already cut into words."""
        keyword, words = words[0], words[1:]
        if keyword == "v":
            self._vertex(number, words)
        elif keyword == "vt":
            self.uv.append((self._floats(number, words[:2], 1) + [0.0])[:2])
        elif keyword == "f":
            self._face(number, words)
        elif keyword == "usemtl":
            name = " ".join(words)
            if name not in self.names:
                self.names.append(name)
            self.current = self.names.index(name)
        elif keyword == "mtllib":
            self.libraries.append(" ".join(words))
        elif keyword not in _OTHER:
            self.unknown[keyword[:40]] = self.unknown.get(keyword[:40], 0) + 1

    def _floats(self, number: int, words: list[str], least: int) -> list[float]:
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) < least or not np.isfinite(values).all():
            raise self.error(number, "finite numbers", " ".join(words))
        return values

    def _vertex(self, number: int, words: list[str]) -> None:
        values = self._floats(number, words, 3)
        self.vertices.append(values[:3])
        if len(values) >= 6:  # x y z r g b, with alpha in some files
            self.colors.append(values[3:6])

    def _face(self, number: int, words: list[str]) -> None:
        if len(words) < 3:
            raise self.error(number, "a face of at least 3 corners", " ".join(words))
        count, uv_count = len(self.vertices), len(self.uv)
        try:
            for word in words:
                parts = word.split("/")
                index = int(parts[0])
                self.corners.append(index - 1 if index >= 0 else count + index)
                if index == 0 or -index > count:
                    raise ValueError
                index = int(parts[1]) if len(parts) > 1 and parts[1] else None
                if index is None:
                    self.uv_corners.append(-1)  # no texture coordinate
                elif index > 0:
                    self.uv_corners.append(index - 1)
                else:  # -2 stays out of range, and is told apart from "none"
                    relative = uv_count + index if index else -2
                    self.uv_corners.append(relative if relative >= 0 else -2)
        except ValueError:
            expected = f"vertex indices 1..{count} or -{count}..-1"
            raise self.error(number, expected, " ".join(words)) from None
        if self.current < 0:
            self.names.append("default")
            self.current = len(self.names) - 1
        self.sizes.append(len(words))
        self.line_of.append(number)
        self.material.append(self.current)

    def error(self, number: int, expected: str, found: str) -> FormatError:
        return FormatError(
            f"{self.path}, line {number}: expected {expected}; got {found[:60]!r}."
        )

    def triangles(self, strict: bool):
        """Returns corners [F, 3], the polygon of each [F], uv corners or None."""
        if not self.sizes:
            raise FormatError(
                f"{self.path}: expected a mesh; got no faces ({len(self.vertices)} "
                "vertices)."
            )
        sizes = np.array(self.sizes)
        check_counts(len(self.vertices), int((sizes - 2).sum()), self.path)
        corners, uv_corners = np.array(self.corners), np.array(self.uv_corners)
        starts = np.cumsum(sizes) - sizes
        self._check(corners, len(self.vertices), "vertex", starts)
        face = np.repeat(np.arange(len(sizes)), sizes - 2)
        step = np.arange(len(face)) - (np.cumsum(sizes - 2) - (sizes - 2))[face]
        first = starts[face]
        fan = np.stack([first, first + step + 1, first + step + 2], axis=-1)
        if (uv_corners == -1).all():
            return corners[fan], face, None
        try:
            self._check(uv_corners, len(self.uv), "texture coordinate", starts)
        except FormatError as error:
            if strict:
                raise
            _LOG.warning("%s Texture coordinates dropped.", error)
            return corners[fan], face, None
        return corners[fan], face, uv_corners[fan]

    def _check(self, corners, count: int, word: str, starts) -> None:
        lowest = -1 if word != "vertex" else 0
        bad = (corners < lowest) | (corners >= count)
        if bad.any():
            corner = int(bad.argmax())
            polygon = int(np.searchsorted(starts, corner, side="right")) - 1
            found = f"face {polygon}, index {corners[corner] + 1}"
            number = self.line_of[polygon]
            raise self.error(number, f"{word} indices 1..{count}", found)

    def vertex_array(self) -> np.ndarray:
        return np.array(self.vertices, np.float64).reshape(-1, 3)

    def color_array(self) -> np.ndarray | None:
        if not self.colors:
            return None
        if len(self.colors) != len(self.vertices):
            _LOG.warning("%s: only some vertices have colours; dropped.", self.path)
            return None
        colors = np.array(self.colors, np.float32)
        return (colors / 255 if colors.max() > 1 else colors).clip(0, 1)


def _lines(path: str):
    """Yields (line number, words) of an OBJ or MTL file, continuations joined."""
    if os.path.getsize(path) > _LONGEST_FILE:
        raise LimitError(f"{path}: expected at most {_LONGEST_FILE} bytes; got more.")
    parts, length, number = [], 0, 0  # of the line so far, with its continuations
    with open(path, "rb") as file:
        while line := file.readline(_LONGEST_LINE + 1):
            number += 1
            length += len(line)
            if length > _LONGEST_LINE:
                raise FormatError(
                    f"{path}, line {number}: expected lines below 1 MiB; got more."
                )
            if b"\0" in line:
                raise FormatError(f"{path}, line {number}: expected text; got NUL.")
            # Latin-1 reads any byte; only names and comments hold such bytes.
            text = line.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
            text = text.split("#", 1)[0].rstrip()
            parts += text.removesuffix("\\").split()
            if not text.endswith("\\"):
                if parts:
                    yield number, parts
                parts, length = [], 0
    if parts:
        yield number, parts


def inside_folder(folder: str, name: str, allow_outside: bool = False) -> str | None:
    """Path of a file that a mesh names, or None where it leaves the folder.

    Args:
        folder: folder of the mesh.
        name: relative name, as in the file; Windows separators are understood.
        allow_outside: accept any path.

    Returns:
        The path with symbolic links resolved, or None.
    """
    path = os.path.realpath(os.path.join(folder, name.replace("\\", "/")))
    folder = os.path.realpath(folder)
    inside = os.path.commonpath([folder, path]) == folder
    return path if inside or allow_outside else None


def _read_materials(parser: _Parser, path: str, strict: bool, allow_outside: bool):
    """Materials in the order of `parser.names`, defaults where the MTL lacks them."""
    found = {}
    for library in parser.libraries:
        whole = inside_folder(os.path.dirname(path), library, True)
        names = [library] if os.path.isfile(whole) else library.split()
        for name in names:
            file = inside_folder(os.path.dirname(path), name, allow_outside)
            if file is None:
                _LOG.warning("%s: material file %r lies outside; refused.", path, name)
            elif not os.path.isfile(file):
                _LOG.warning("%s: material file %r not found.", path, name)
            else:
                found |= _read_mtl(file, set(parser.names), strict, allow_outside)
    return tuple(found.get(name, Material(name)) for name in parser.names)


def _read_mtl(path: str, wanted: set, strict: bool, allow_outside: bool) -> dict:
    """Materials of an MTL file by name; textures only of those that faces use."""
    found, name = {}, None
    for number, words in _lines(path):
        keyword, words = words[0], words[1:]
        if keyword == "newmtl":
            name = " ".join(words)
            found[name] = Material(name)
        if name not in wanted:
            continue
        material = found[name]
        if keyword == "Kd":
            color = _levels(path, number, words, 3)
            found[name] = material._replace(diffuse=color)
        elif keyword in ("d", "Tr"):
            words = [word for word in words if word != "-halo"]
            (level,) = _levels(path, number, words, 1)
            level = 1 - level if keyword == "Tr" else level
            found[name] = material._replace(opacity=level)
        elif keyword == "map_Kd":
            texture = _read_texture(path, name, words, strict, allow_outside)
            found[name] = material._replace(texture=texture)
    return found


def _levels(path: str, number: int, words: list[str], count: int) -> tuple:
    """Numbers of an MTL line, clipped to [0, 1]."""
    try:
        values = np.array([float(word) for word in words[:count]])
    except ValueError:
        values = np.array([])
    if len(values) != count or not np.isfinite(values).all():
        raise FormatError(
            f"{path}, line {number}: expected {count} finite numbers; got "
            f"{' '.join(words)[:60]!r}."
        )
    return tuple(values.clip(0, 1).tolist())


def _read_texture(path: str, material: str, words, strict: bool, allow_outside: bool):
    """Pixels of a `map_Kd` line, or None with a warning that names file, material."""
    words = list(words)
    while words and words[0] in _MAP_OPTIONS:
        option = words.pop(0)
        for count in range(_MAP_OPTIONS[option]):
            number = words and words[0].lstrip("+-").replace(".", "", 1).isdigit()
            if words and (count == 0 or number):
                words.pop(0)
    name = " ".join(words)
    file = inside_folder(os.path.dirname(path), name, allow_outside)
    if file is None:
        _LOG.warning(
            "%s, material %s: texture %r lies outside the folder; refused.",
            path,
            material,
            name,
        )
    elif not os.path.isfile(file):
        _LOG.warning("%s, material %s: texture %r not found.", path, material, name)
    else:
        try:
            return images.read_image(file)
        except (FormatError, LimitError) as error:
            if strict:
                raise
            _LOG.warning("%s, material %s: %s Texture dropped.", path, material, error)
    return None
