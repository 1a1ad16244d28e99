"""Claims of tools.rendernet_config."""

import json

import pytest

from tfrender.io import FormatError, LimitError
from tools import rendernet_config

# The keys of the original's file.
SAMPLE = {
    "image_path": "./data/train.tar",
    "image_path_valid": "./data/valid.tar",
    "model_path": "./data/binvox files",
    "is_greyscale": "True",
    "gpu": 0,
    "batch_size": 1,
    "batches_chunk": 1,
    "max_epochs": 1000,
    "threshold": 0.1,
    "e_eta": 0.00001,
    "keep_prob": 1.0,
    "decay_steps": 100000,
    "trained_model_name": "3d2d_renderer",
    "sample_save": "./shader_test_contour",
    "checkpoint_secs": 7200,
}


def write(tmp_path, change=None, drop=(), text=None):
    path = tmp_path / "config.json"
    entries = {**SAMPLE, **(change or {})}
    for name in drop:
        del entries[name]
    path.write_text(json.dumps(entries) if text is None else text)
    return str(path)


def lines(tmp_path, **settings):
    config = rendernet_config.read_config(write(tmp_path, **settings))
    return rendernet_config.flag_lines(config, "config.json", "paper")


def test_every_key_becomes_a_flag_with_a_comment_above(tmp_path):
    found = lines(tmp_path)
    given = [line for line in found if line.startswith("--")]
    assert given == [
        "--preset=paper",
        "--image_path=./data/train.tar",
        "--image_path_valid=./data/valid.tar",
        "--model_path=./data/binvox files",
        "--is_greyscale=true",
        "--gpu=0",
        "--batch_size=1",
        "--batches_chunk=1",
        "--max_epochs=1000.0",
        "--threshold=0.1",
        "--e_eta=1e-05",
        "--keep_prob=1.0",
        "--decay_steps=100000",
        "--trained_model_name=3d2d_renderer",
        "--sample_save=./shader_test_contour",
        "--checkpoint_secs=7200",
    ]
    for line in given:
        assert found[found.index(line) - 1].startswith("# ")


def test_missing_keys_take_the_documented_values(tmp_path):
    found = lines(
        tmp_path,
        drop=("batch_size", "max_epochs", "keep_prob", "checkpoint_secs", "gpu"),
    )
    for flag in ("batch_size=24", "max_epochs=20", "keep_prob=0.75"):
        comment = found[found.index(f"--{flag}") - 1]
        assert "documented" in comment
    assert "--checkpoint_secs=7200" in found
    assert not any(line.startswith("--gpu") for line in found)


def test_both_spellings_of_the_save_interval_are_read(tmp_path):
    change, drop = {"check_point_secs": 60}, ("checkpoint_secs",)
    assert "--checkpoint_secs=60" in lines(tmp_path, change=change, drop=drop)
    with pytest.raises(FormatError, match="'check_point_secs' is given twice"):
        lines(tmp_path, change=change)


@pytest.mark.parametrize(
    ("value", "flag"),
    [("True", "true"), ("true", "true"), ("False", "false"), (False, "false")],
)
def test_greyscale_is_a_text_in_any_case_or_a_boolean(tmp_path, value, flag):
    found = lines(tmp_path, change={"is_greyscale": value})
    assert f"--is_greyscale={flag}" in found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batchsize": 3}, "'batchsize'; did you mean 'batch_size'"),
        ({"xyzzy": 3}, "unknown key 'xyzzy'; known: image_path"),
        ({"texture_path": "t"}, "'texture_path' belongs to the texture system"),
        ({"z_dim": 200}, "'z_dim' belongs to the reconstruction system"),
        ({"is_greyscale": "yes"}, '\'is_greyscale\': expected "True" or "False"'),
        ({"batch_size": "24"}, "'batch_size': expected a whole number; got \"24\""),
        ({"batch_size": 2.5}, "'batch_size': expected a whole number"),
        ({"batch_size": True}, "'batch_size': expected a whole number"),
        ({"batch_size": 0}, r"'batch_size': expected a value in \[1"),
        ({"keep_prob": 75}, r"'keep_prob': expected a value in \[0.01, 1\]"),
        ({"e_eta": "1e-5"}, "'e_eta': expected a number"),
        ({"e_eta": None}, "'e_eta': expected a number; got null"),
        ({"threshold": [0.1]}, "'threshold': expected a number"),
        ({"gpu": {"a": 1}}, "'gpu': expected a whole number"),
        ({"image_path": ""}, "'image_path': expected a path"),
        ({"image_path": "a\n--preset=tiny"}, "'image_path': expected a path"),
        ({"image_path": 7}, "'image_path': expected a path"),
        ({"sample_save": "run # 1"}, "'sample_save': expected a path"),
    ],
)
def test_a_bad_key_or_value_is_named(tmp_path, change, message):
    with pytest.raises(FormatError, match=message) as caught:
        lines(tmp_path, change=change)
    assert "config.json" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"gpu": 0, "gpu": 1}', "'gpu' is given twice"),
        ("{'gpu': 0}", "expected JSON"),
        ('{"e_eta": NaN}', "found NaN"),
        ("[1, 2]", "one JSON object"),
        ("[" * 100_000, "expected JSON"),
        ("", "expected JSON"),
        ("{}", "expected the key 'image_path'"),
    ],
)
def test_a_file_that_is_no_configuration_is_named(tmp_path, text, message):
    with pytest.raises(FormatError, match=message) as caught:
        rendernet_config.read_config(write(tmp_path, text=text))
    assert "\n" not in str(caught.value)


def test_a_huge_or_missing_file_is_refused(tmp_path):
    with pytest.raises(LimitError, match=r"config\.json"):
        rendernet_config.read_config(write(tmp_path, text=" " * 2**21))
    with pytest.raises(FileNotFoundError, match="--config"):
        rendernet_config.read_config(str(tmp_path / "none.json"))
