"""Claims of tools.yaml_config."""

import pytest

from tfrender.io import FormatError, LimitError
from tools import yaml_config

SECTIONS = ("model", "model.inner")


def write(folder, name, text):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def values(path):
    return {k: entry.value for k, entry in yaml_config.read(path, SECTIONS).items()}


def test_three_levels_merge_and_lists_are_replaced(tmp_path):
    write(
        tmp_path,
        "configs/root.yaml",
        "a: 1\nmodel:\n  b: [1, 2]\n  c: x\n  inner: {d: 1, e: 2}\n",
    )
    write(
        tmp_path,
        "configs/deep/middle.yaml",
        "inherit_from: configs/root.yaml\nmodel:\n  b: [3]\n  inner:\n    d: no\n",
    )
    # The second is named as from the folder of the first.
    leaf = write(
        tmp_path, "configs/deep/leaf.yaml", "inherit_from: middle.yaml\na: null\n"
    )
    expected = {"a": None, "model.b": [3], "model.c": "x"}
    expected |= {"model.inner.d": False, "model.inner.e": 2}
    assert values(leaf) == expected


def test_the_current_folder_comes_first(tmp_path, monkeypatch):
    write(tmp_path, "here/base.yaml", "a: here\n")
    write(tmp_path, "files/base.yaml", "a: beside\n")
    leaf = write(tmp_path, "files/leaf.yaml", "inherit_from: base.yaml\n")
    assert values(leaf) == {"a": "beside"}
    monkeypatch.chdir(tmp_path / "here")
    assert values(leaf) == {"a": "here"}


def test_an_entry_knows_the_file_that_it_comes_from(tmp_path):
    write(tmp_path, "base.yaml", "a: 1\nb: 1\n")
    leaf = write(tmp_path, "leaf.yaml", "inherit_from: base.yaml\nb: 2\n")
    found = yaml_config.read(leaf, SECTIONS)
    assert found["a"].where == f"{tmp_path}/base.yaml: 'a'"
    assert found["b"].where == f"{leaf}: 'b'"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected keys and values on top"),
        ("- a\n", "expected keys and values on top"),
        ("a: 1\n---\nb: 2\n", "line 2: expected one document"),
        ("a: 1\nmodel:\n  b: 1\n  b: 2\n", "line 4: 'b' is given twice"),
        ("a: 1\n'a': 2\n", "'a' is given twice"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1: .* got a tag"),
        ("a: !!str 1\n", "got a tag"),
        ("a: &x [1]\nb: *x\n", "line 2: expected plain values; got an alias"),
        ("[1, 2]: 3\n", "expected a name as key"),
        ("a: [1, 2\n", "expected YAML; .* in line"),
        ("a: 2020-13-40\n", "expected YAML"),
        ("a: \x00\n", "expected YAML"),
        ("model: 3\n", "'model': expected keys and values; got 3"),
        ("model: {inner: [1]}\n", "'model.inner': expected keys and values"),
        ("inherit_from: 3\n", "'inherit_from': expected a path; got 3"),
    ],
)
def test_what_is_no_plain_configuration_is_named(tmp_path, text, message):
    path = write(tmp_path, "x.yaml", text)
    with pytest.raises(FormatError, match=message) as caught:
        yaml_config.read(path, SECTIONS)
    assert str(caught.value).startswith(path) and "\n" not in str(caught.value)


def test_files_that_cannot_be_followed_are_named(tmp_path):
    one = write(tmp_path, "one.yaml", "inherit_from: two.yaml\n")
    write(tmp_path, "two.yaml", "inherit_from: one.yaml\n")
    with pytest.raises(FormatError, match="inherits from itself"):
        yaml_config.read(one, SECTIONS)
    gone = write(tmp_path, "gone.yaml", "inherit_from: none.yaml\n")
    with pytest.raises(FileNotFoundError, match="no such file: 'none.yaml'"):
        yaml_config.read(gone, SECTIONS)
    with pytest.raises(FileNotFoundError, match="missing.yaml: no such file"):
        yaml_config.read(str(tmp_path / "missing.yaml"), SECTIONS)
    for i in range(10):
        write(tmp_path, f"chain{i}.yaml", f"inherit_from: chain{i + 1}.yaml\n")
    with pytest.raises(LimitError, match="levels of inherit_from"):
        yaml_config.read(str(tmp_path / "chain0.yaml"), SECTIONS)


def test_large_and_deep_files_are_refused(tmp_path):
    large = write(tmp_path, "large.yaml", "a: " + "x" * 2**20)
    with pytest.raises(LimitError, match="at most 1048576 bytes"):
        yaml_config.read(large, SECTIONS)
    deep = write(tmp_path, "deep.yaml", "a: " + "[" * 50_000)
    with pytest.raises(LimitError, match="levels"):
        yaml_config.read(deep, SECTIONS)
