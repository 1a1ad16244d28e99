"""Lights and materials as plain settings: what a layer stores, what an op takes.

A lamp is a dict with the key "kind" and the fields of the record of `ops.shade` that
the kind names; fields that have a default there may be left out:

    {"kind": "ambient", "color": 0.5}
    {"kind": "directional", "direction": [0, 1, 0], "color": [1, 0.9, 0.8]}
    {"kind": "point", "position": [0, 2, -3], "attenuation": [1, 0, 0.1]}
    {"kind": "spherical_harmonics", "coefficients": 9 rows of one or three numbers}
"""

from collections.abc import Mapping, Sequence

import numpy as np

from tfrender import checks
from tfrender.ops.shade import (
    AmbientLight,
    DirectionalLight,
    Material,
    PointLight,
    SphericalHarmonicLight,
)

KINDS = {
    "ambient": AmbientLight,
    "directional": DirectionalLight,
    "point": PointLight,
    "spherical_harmonics": SphericalHarmonicLight,
}
# Of the Neural Mesh Renderer and the Soft Rasterizer.
PUBLISHED_LIGHTS = (
    {"kind": "ambient", "color": 0.5},
    {"kind": "directional", "direction": (0.0, 1.0, 0.0), "color": 0.5},
)
_SIZES = {"direction": 3, "position": 3, "attenuation": 3}


def plain_lights(lights: Sequence[Mapping] | None) -> list[dict] | None:
    """Checks lamps and makes them fit for a config file.

    Args:
        lights: list of dicts as in the module's note, or None.

    Returns:
        The same of strings, numbers and lists alone.

    Raises:
        ValueError: for an unknown kind, a missing or unknown field, or a field that
            holds no finite numbers or too few.
    """
    if lights is None:
        return None
    return [_plain_light(light) for light in lights]


def light_records(lights: Sequence[Mapping]) -> list:
    """Makes the records that `ops.shade` takes.

    Args:
        lights: result of `plain_lights`.

    Returns:
        list of AmbientLight, DirectionalLight, PointLight, SphericalHarmonicLight.
    """
    return [
        KINDS[light["kind"]](
            **{name: _numbers(value) for name, value in light.items() if name != "kind"}
        )
        for light in lights
    ]


def plain_material(material: Mapping | None) -> dict | None:
    """Checks a material and makes it fit for a config file.

    Args:
        material: dict of fields of `ops.shade.Material`, or None for its defaults.

    Returns:
        The same of numbers and lists alone.

    Raises:
        ValueError: for an unknown field or one that holds no finite numbers.
    """
    if material is None:
        return None
    checks.keys("material", {**Material()._asdict(), **material}, Material._fields)
    return {name: _plain(f"material {name}", v) for name, v in material.items()}


def material_record(material: Mapping | None) -> Material:
    """Makes the record that `ops.shade` takes.

    Args:
        material: result of `plain_material`.

    Returns:
        Material.
    """
    return Material(**{name: _numbers(v) for name, v in (material or {}).items()})


def _plain_light(light):
    """One lamp, checked."""
    if not isinstance(light, Mapping):
        raise ValueError(f"`lights` must hold dicts; got {light!r}.")
    kind = light.get("kind")
    checks.one_of("kind of light", kind, KINDS)
    record = KINDS[kind]
    fields = {name: value for name, value in light.items() if name != "kind"}
    checks.keys(f"{kind} light", {**record._field_defaults, **fields}, record._fields)
    plain = {"kind": kind}
    for name, value in fields.items():
        plain[name] = _plain(f"{kind} {name}", value)
        size = _SIZES.get(name)
        if size and np.shape(plain[name]) != (size,):
            raise ValueError(f"`{kind} {name}` must be {size} numbers; got {value!r}.")
    return plain


def _plain(name, value):
    """Python numbers and lists of an array."""
    numbers = np.asarray(value, np.float64)
    if not np.isfinite(numbers).all():
        raise ValueError(f"`{name}` must hold finite numbers; got {value!r}.")
    return numbers.tolist()


def _numbers(value):
    """A number as it is, lists as float32."""
    return np.float32(value) if np.ndim(value) else float(value)
