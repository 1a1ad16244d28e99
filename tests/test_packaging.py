"""What the wheel holds and what an import costs."""

import pathlib
import subprocess
import sys

from setuptools import find_packages

ROOT = pathlib.Path(__file__).parents[1]
HEAVY = (
    *("trimesh", "tensorflow_datasets", "tensorflow_graphics", "matplotlib"),
    *("skimage", "OpenEXR", "yaml"),
)


def test_the_wheel_holds_tfrender_alone():
    # A top-level `datasets` would overwrite another well-known package.
    found = find_packages(str(ROOT), include=["tfrender", "tfrender.*"])
    assert "tfrender.ops" in found
    assert {name.split(".")[0] for name in found} == {"tfrender"}
    text = (ROOT / "setup.py").read_text()
    assert 'include=["tfrender", "tfrender.*"]' in text


def test_the_library_imports_nothing_of_the_checkout():
    for path in (ROOT / "tfrender").rglob("*.py"):
        for line in path.read_text().splitlines():
            words = line.split()
            if words[:1] in (["import"], ["from"]):
                top = words[1].split(".")[0]
                assert top not in ("datasets", "trainers", "tools", "tests"), path


def test_importing_tfrender_imports_nothing_heavy_beyond_tensorflow():
    code = (
        "import tensorflow, keras, sys; before = set(sys.modules); import tfrender; "
        f"print([m for m in {HEAVY} if m in sys.modules and m not in before])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-500:]


def test_no_unsafe_call_stands_in_the_code():
    words = (
        "pickle.load",
        "allow_pickle=True",
        "yaml.load(",
        "extractall(",
        "safe_mode=False",
        "ignore_errors(",
        " eval(",
        "shell=True",
        "load_op_library",
        "py_function",
    )
    for folder in ("tfrender", "datasets", "trainers", "tools"):
        for path in (ROOT / folder).rglob("*.py"):
            code = "\n".join(
                line.split("#")[0] for line in path.read_text().splitlines()
            )
            found = [word for word in words if word in code]
            # Docstrings may name what is avoided; calls may not stand anywhere.
            assert not [word for word in found if f"{word}" in _without_strings(code)]


def _without_strings(code):
    """Code without the text of its string constants."""
    import io
    import tokenize

    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    kept = [token.string for token in tokens if token.type != tokenize.STRING]
    return " ".join(kept).replace(" . ", ".").replace(" (", "(")
