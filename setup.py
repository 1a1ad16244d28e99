"""Package description; the wheel holds `tfrender` alone (see CONTRIBUTING.md)."""

import pathlib

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent

setup(
    name="tfrender",
    version="0.1.0",
    description="Five published differentiable renderers on stock TensorFlow ops.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["tfrender", "tfrender.*"]),
    package_data={"tfrender": ["assets/**/*"]},
    install_requires=[
        "OpenEXR>=3.3",
        "PyYAML>=6.0",
        "absl-py>=2.1",
        "fast-simplification>=0.1.9",  # trimesh's quadric decimation
        "importlib_resources",  # tensorflow-datasets 4.9.10 needs it, undeclared
        "keras>=3.15,<4",
        "numpy>=2.0",
        "pillow>=12.0",
        "scikit-image>=0.25",
        "scipy>=1.13",
        "tensorboard>=2.19",
        "tensorflow>=2.21,<2.22",
        "tensorflow-datasets>=4.9.10",
        # On 3.12+ pip would silently take the release of 2020; the README gives
        # the spelling that installs this one there.
        "tensorflow-graphics>=2021.12.3; python_version < '3.12'",
        "trimesh>=5.2",
    ],
    extras_require={
        "gpu": ["tensorflow[and-cuda]>=2.21,<2.22"],
        "lite": ["ai-edge-litert>=2.1"],
        "serving": ["tensorflow-serving-api>=2.19"],
        "demo": [],  # `make demo` needs nothing more
        "bench": ["tensorflow-graphics>=2021.12.3; python_version < '3.12'"],
        "dev": [
            "pytest>=9",
            "pytest-timeout>=2.4",
            "ruff>=0.17,<0.18",
            "tensorflow-serving-api>=2.19",
        ],
    },
)
