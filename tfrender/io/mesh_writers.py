"""Writes meshes as OBJ with MTL and PNG textures, binary PLY, or GLB."""

import logging
import os

import numpy as np

from tfrender.io import atomic, images
from tfrender.io.mesh_record import Material, validate_mesh

_LOG = logging.getLogger(__name__)
_SUFFIXES = (".glb", ".obj", ".ply")


def save_mesh(
    path: str | os.PathLike,
    vertices,
    faces,
    uv=None,
    face_material=None,
    materials: tuple[Material, ...] = (),
    vertex_colors=None,
) -> None:
    """Writes a mesh; the arguments are the fields of `Mesh`, in order.

    Args:
        path: .obj (writes NAME.mtl and NAME_<k>.png beside it), .ply (geometry and
            vertex colours only), or .glb (vertices are split at texture seams).
        vertices: [V, 3].
        faces: int [F, 3].
        uv: [F, 3, 2] texture coordinates of face corners, v upwards, or None.
        face_material: int [F] index into `materials`; None where there is one.
        materials: `Material`s; none writes geometry only.
        vertex_colors: [V, 3] in [0, 1] or uint8, or None.

    Raises:
        ValueError: unknown suffix, or arrays that do not fit together.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _SUFFIXES:
        raise ValueError(
            f"{path}: expected one of {', '.join(_SUFFIXES)}; got {suffix!r}."
        )
    vertices, faces = validate_mesh(vertices, faces, "`save_mesh` arguments")
    materials = tuple(materials)
    if face_material is None:
        face_material = np.zeros(len(faces), np.int32)
    face_material = np.asarray(face_material)
    if face_material.shape != (len(faces),):
        raise ValueError(
            f"`face_material` must be [{len(faces)}]; got {face_material.shape}."
        )
    used = np.unique(face_material)
    if used[0] < 0 or used[-1] >= max(len(materials), 1):
        raise ValueError(
            f"`face_material` must index the {len(materials)} materials; got "
            f"{used[0]}..{used[-1]}."
        )
    if uv is not None:
        uv = np.asarray(uv, np.float32)
        if uv.shape != (len(faces), 3, 2) or not np.isfinite(uv).all():
            raise ValueError(
                f"`uv` must be finite [{len(faces)}, 3, 2]; got shape {uv.shape}."
            )
    if vertex_colors is not None:
        vertex_colors = np.asarray(vertex_colors)
        if vertex_colors.shape != vertices.shape:
            raise ValueError(
                f"`vertex_colors` must be {vertices.shape}; got {vertex_colors.shape}."
            )
        vertex_colors = images.to_uint8(vertex_colors[None])[0]
    if suffix == ".obj":
        _write_obj(path, vertices, faces, uv, face_material, materials, vertex_colors)
    elif suffix == ".ply":
        _write_ply(path, vertices, faces, materials, vertex_colors)
    else:
        _write_glb(path, vertices, faces, uv, face_material, materials, vertex_colors)


def _write_obj(path, vertices, faces, uv, face_material, materials, colors) -> None:
    """OBJ last, so that whoever sees it finds its materials and textures."""
    stem = os.path.splitext(path)[0]
    name = os.path.basename(stem)
    words = [_word(material, i) for i, material in enumerate(materials)]
    if materials:
        lines = []
        for i, (word, material) in enumerate(zip(words, materials, strict=True)):
            lines += [f"newmtl {word}", "Kd {:.6g} {:.6g} {:.6g}".format(*material[1])]
            lines += [f"d {material.opacity:.6g}"]
            if material.texture is not None:
                images.write_png(f"{stem}_{i}.png", material.texture)
                lines += [f"map_Kd {name}_{i}.png"]
        with atomic.write_file(f"{stem}.mtl", "w") as file:
            file.write("\n".join(lines) + "\n")
    with atomic.write_file(path, "w") as file:
        if materials:
            file.write(f"mtllib {name}.mtl\n")
        if colors is None:
            rows, form = vertices.tolist(), "v {:.9g} {:.9g} {:.9g}\n"
        else:
            rows = np.concatenate([vertices, colors / 255], axis=-1).tolist()
            form = "v {:.9g} {:.9g} {:.9g} {:.6g} {:.6g} {:.6g}\n"
        file.writelines(form.format(*row) for row in rows)
        corners = faces + 1
        form = "f {} {} {}\n"
        if uv is not None:
            table, index = np.unique(uv.reshape(-1, 2), axis=0, return_inverse=True)
            file.writelines("vt {:.9g} {:.9g}\n".format(*row) for row in table.tolist())
            index = index.reshape(-1, 3) + 1
            corners = np.stack([corners, index], axis=-1).reshape(-1, 6)
            form = "f {}/{} {}/{} {}/{}\n"
        order = np.argsort(face_material, kind="stable")
        current = None
        pairs = zip(face_material[order].tolist(), corners[order].tolist(), strict=True)
        for material, corner in pairs:
            if materials and material != current:
                file.write(f"usemtl {words[material]}\n")
                current = material
            file.write(form.format(*corner))


def _word(material: Material, index: int) -> str:
    """Unique name without white space: names may repeat, or hold anything."""
    kept = "".join(c if c.isalnum() or c in "_-." else "_" for c in material.name)
    return f"m{index}_{kept}" if kept != f"m{index}" else kept


def _write_ply(path, vertices, faces, materials, colors) -> None:
    """Binary little-endian PLY; the format has no materials."""
    if any(material.texture is not None for material in materials):
        _LOG.warning("%s: PLY holds no materials; textures left out.", path)
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4")]
    names = ["float x", "float y", "float z"]
    if colors is not None:
        fields += [("r", "u1"), ("g", "u1"), ("b", "u1")]
        names += ["uchar red", "uchar green", "uchar blue"]
    rows = np.empty(len(vertices), fields)
    rows["x"], rows["y"], rows["z"] = vertices.T
    if colors is not None:
        rows["r"], rows["g"], rows["b"] = colors.T
    polygons = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    polygons["count"], polygons["corners"] = 3, faces
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(vertices)}",
        *(f"property {name}" for name in names),
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header\n",
    ]
    with atomic.write_file(path) as file:
        file.write("\n".join(header).encode("ascii"))
        file.write(rows.tobytes())
        file.write(polygons.tobytes())


def _write_glb(path, vertices, faces, uv, face_material, materials, colors) -> None:
    """One glTF mesh for each material in use, exported by trimesh."""
    import trimesh

    scene = trimesh.Scene()
    for index in np.unique(face_material):
        chosen = face_material == index
        corner = faces[chosen].reshape(-1)
        # A glTF vertex has one uv: a point on a seam becomes several vertices.
        rows = corner[:, None].astype(np.float64)
        if uv is not None and materials:
            rows = np.concatenate([rows, uv[chosen].reshape(-1, 2)], axis=-1)
        rows, inverse = np.unique(rows, axis=0, return_inverse=True)
        point = rows[:, 0].astype(np.int64)
        part = trimesh.Trimesh(
            vertices[point], inverse.reshape(-1, 3), process=False, validate=False
        )
        if colors is not None:  # linear light in glTF, as are factors
            light = np.rint(255 * images.to_linear(colors[point] / 255))
            light = np.insert(light, 3, 255, axis=-1).astype(np.uint8)
        if materials:
            part.visual = trimesh.visual.TextureVisuals(
                uv=rows[:, 1:] if uv is not None else None,
                material=_glb_material(materials[index], int(index)),
            )
            if colors is not None:
                part.visual.vertex_attributes["color"] = light
        elif colors is not None:
            part.visual.vertex_colors = light
        scene.add_geometry(part, geom_name=f"part{index}")

    def exact_factors(tree):  # trimesh keeps them in bytes, too coarse for dark light
        for entry in tree.get("materials", []):
            # Words begin with m<index>.
            number = entry["name"].split("_")[0][1:]
            material = materials[int(number)]
            white = material.texture is not None or colors is not None
            light = np.ones(3) if white else images.to_linear(material.diffuse)
            factor = [*light.tolist(), material.opacity]
            entry["pbrMetallicRoughness"]["baseColorFactor"] = factor

    data = scene.export(file_type="glb", tree_postprocessor=exact_factors)
    with atomic.write_file(path) as file:
        file.write(data)


def _glb_material(material: Material, index: int):
    """Material for glTF; its colour factor is filled in after the export."""
    import trimesh
    from PIL import Image

    image = None
    if material.texture is not None:
        image = Image.fromarray(images.with_channels(material.texture, 3))
    return trimesh.visual.material.PBRMaterial(
        name=_word(material, index),
        baseColorFactor=np.full(4, 255, np.uint8),
        baseColorTexture=image,
        metallicFactor=0.0,
        roughnessFactor=1.0,
        alphaMode="BLEND" if material.opacity < 1 else "OPAQUE",
        doubleSided=True,
    )
