"""Claims of tools.drwr_config, drwr_flag_file and config_keys, and of their table."""

import pathlib
import re

import pytest

from tests.tools import programs
from tfrender.io import FormatError
from tools import drwr_config, drwr_flag_file, import_config
from tools.drwr_config_keys import (
    DPC,
    KEYS,
    PREDICTIONS,
    RECORDS,
    SCORES,
    TRAINER,
)

ROOT = pathlib.Path(__file__).parents[2]
# The file that the original ships, in its keys.
SHIPPED = """
synth_set: "02691156"
eval_split: test
eval_unsupervised_shape: true
vox_size: 32
pc_gauss_kernel_size: 21
pc_relative_sigma: 3.0
pc_num_points: 2000
pc_point_dropout: 0.07
"""
# The published chairs of DPC without known poses.
UNSUPERVISED = """
config: chair.yaml
predict_pose: true
pose_predict_num_candidates: 4
pose_predictor_student_loss_weight: 20.0
"""
CHAIR = """
vox_size: 64
pc_gauss_kernel_size: 21
pc_relative_sigma: 3.0
pc_num_points: 8000
pc_point_dropout: 0.07
"""
# Flags of our files alone, and of runs: why they may differ from the original's.
OURS = {"data_dir", "output_dir", "classes", "held_out"}
FLAGS = {
    **{"system": "auto", "set": [], "preset": "paper", "records": None},
    **{"legacy": False, "modern": False},
}


def write(tmp_path, text, name="config.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def lines(path, changes=(), modern=False, dpc=False):
    config, given = drwr_config.read_config(str(path), changes, dpc)
    return drwr_flag_file.flag_lines(
        config, given, "config.yaml", "RECORDS", modern, dpc
    )


def flag_values(found):
    return dict(line[2:].split("=", 1) for line in found if line.startswith("--"))


def commands(found, program):
    """Words of the first command of a program in the comments."""
    text = re.sub(r" \\\n# +", " ", "\n".join(found))
    rows = [row for row in text.splitlines() if f"python -m {program} " in row]
    return rows[0].split()


def shipped(name):
    """Flags of one of our files, its parents' first."""
    found = {}
    for line in (ROOT / "configs/drwr" / f"{name}.cfg").read_text().splitlines():
        if line.startswith("--flagfile="):
            found |= shipped(pathlib.Path(line.split("=")[1]).stem)
        elif line.startswith("--"):
            key, value = line[2:].split("=", 1)
            found[key] = value
    return found


def number(text):
    try:
        return float(text)
    except ValueError:
        return text


def other(key):
    """A value of a key that is not its default."""
    if key.values is not None and len(key.values) > 1:
        return next(value for value in key.values if value != key.default)
    if key.kind == "flag":
        return not key.default
    if key.kind in ("path", "text"):
        return key.default if key.values else "other"
    halved = (key.default + min(key.high, 4 * abs(key.default) + 2)) / 2
    return int(halved) if key.kind == "integer" else halved


def yaml_text(value):
    return repr(value).lower() if isinstance(value, bool) else repr(value)


def test_there_are_137_keys_and_the_page_lists_each_and_where_it_goes():
    text = (ROOT / "configs/README.md").read_text()
    section = text.split("\n## DRWR")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*)$", section, re.M)
    assert len(rows) == len(dict(rows)) == len(KEYS) == 137
    for name, rest in rows:
        key = KEYS[name]
        assert f"--{key.flag}`" in rest if key.flag else rest.startswith("none"), name
        assert ("" if key.program == TRAINER else key.program) in rest, name
        assert key.read != ("never read by the original" in rest), name
    assert sum(not key.read for key in KEYS.values()) == 27


def test_every_key_is_accepted_with_its_default_and_with_another_value(tmp_path):
    for choose in (lambda key: key.default, other):
        values = {name: choose(key) for name, key in KEYS.items() if name != "config"}
        values["pc_point_dropout_start_step"] = 0.0
        text = "\n".join(f"{n}: {yaml_text(v)}" for n, v in values.items())
        path = write(tmp_path, text)
        config, given = drwr_config.read_config(path)
        assert config == {**values, "config": ""} and given == set(values)
        found = lines(path)
        notes = drwr_config.notes(config, given)
        told = {note.split("'")[1] for note in notes}
        lost = {n for n, v in values.items() if not KEYS[n].flag}
        assert told == {n for n in lost if values[n] != KEYS[n].default}
        for name in lost:
            assert any(line.startswith(f"#     {name}: ") for line in found), name
    # A key that the original holds and never looks at is told apart.
    assert "'test_model', " in "".join(notes)
    assert "#     test_model: the original never reads it" in found


def test_the_shipped_file_becomes_the_released_settings(tmp_path):
    path = write(tmp_path, SHIPPED)
    imported, ours = flag_values(lines(path)), shipped("release")
    assert len(imported) > 50
    both = (set(imported) & set(ours)) - OURS
    assert len(both) > 14
    for flag in both:
        assert number(imported[flag]) == number(ours[flag]), flag
    assert imported["loss_preset"] == "release"
    assert imported["random_views"] == "false"
    assert imported["weight_decay"] == "0"
    assert imported["classes"] == "02691156"
    assert imported["output_dir"] == "dataset-02691156_voxsize-32"


@pytest.mark.parametrize(
    ("name", "text"), [("dpc", CHAIR), ("unsupervised_pose", UNSUPERVISED)]
)
def test_files_of_dpc_become_ours(tmp_path, name, text):
    write(tmp_path, CHAIR, "chair.yaml")
    imported = flag_values(lines(write(tmp_path, text), dpc=True))
    ours = shipped(name)
    both = (set(imported) & set(ours)) - OURS
    assert len(both) > 20
    for flag in both:
        assert number(imported[flag]) == number(ours[flag]), flag
    # A file that says nothing has the values of the published runs.
    assert flag_values(lines(write(tmp_path, "vox_size: 64"), dpc=True)) == flag_values(
        lines(write(tmp_path, CHAIR), dpc=True)
    )
    assert set(DPC) <= set(KEYS)


def test_a_modern_file_holds_what_is_given_and_leaves_the_rest_to_us(tmp_path):
    path = write(tmp_path, "pc_num_points: 500\ndecay: true\nweight_decay: 0.002\n")
    found = flag_values(lines(path, modern=True))
    assert found == {
        **{"preset": "paper", "data_dir": "RECORDS", "points": "500"},
        **{"output_dir": "dataset-03001627_voxsize-32_lrdecay-0.95"},
        **{"lr_decay": "0.95", "weight_decay": "0.002"},
    }


def test_comments_stand_above_the_flags_and_the_commands_name_the_tools(tmp_path):
    text = SHIPPED + "predict_pose: true\ngt_pc_dir: truth\ninp_dir: tf_records\n"
    found = lines(write(tmp_path, text + "cd_weight: 1\n"))
    for line in found:
        assert line.startswith(("--", "#")) and len(line) <= 88
        if line.startswith("--"):
            assert found[found.index(line) - 1].startswith("# ")
    names = [line.split("=")[0] for line in found if line.startswith("--")]
    assert len(names) == len(set(names))
    records = commands(found, RECORDS)
    for word in ("--input=tf_records", "--classes=02691156", "--output=RECORDS"):
        assert word in records
    assert "--sample_points=5000" in records and "--views=5" in records
    predict = commands(found, PREDICTIONS)
    for word in ("--split=test", "--format=mat", "--png", "--data_dir=RECORDS"):
        assert word in predict
    scores = commands(found, SCORES)
    for word in ("--truth=truth", "--align=auto", "--poses"):
        assert word in scores
    # The rotation is found on other objects than those that are scored.
    folder = "dataset-02691156_voxsize-32/pred_validation"
    assert f"--align_predictions={folder}" in scores
    assert any("--split=validation" in line for line in found)
    own = lines(write(tmp_path, text.replace("split: test", "split: val")))
    assert "--align=auto" in commands(own, SCORES)
    assert not any("align_predictions" in line for line in own)
    # Known poses need no alignment, whatever the file says.
    known = lines(write(tmp_path, SHIPPED))
    assert not any("--align" in word for word in commands(known, SCORES))
    assert "--input=MESHES" in commands(known, RECORDS)


def test_values_that_mean_something_else_here_are_translated(tmp_path):
    text = "eval_split: val\nvox_size_z: 16\nnum_views_to_use: 3\n"
    found = flag_values(lines(write(tmp_path, text + "save_as_mat: false\n")))
    assert (found["held_out"], found["grid_depth"]) == ("validation", "16")
    assert (found["views_to_use"], found["lr_decay"]) == ("3", "1")
    found = flag_values(lines(write(tmp_path, "pc_gauss_kernel_size: 10\n")))
    assert found["kernel_size"] == "11"  # from -5 to 5
    assert (found["views_to_use"], found["grid_depth"]) == ("0", "0")


def test_the_command_line_beats_the_file_beats_its_parent_beats_the_default(tmp_path):
    write(tmp_path, "config: ''\nbatch_size: 2\nf_dim: 2\nz_dim: 2\n", "root.yaml")
    write(tmp_path, "config: root.yaml\nf_dim: 3\nz_dim: 3\n", "middle.yaml")
    path = write(tmp_path, "config: middle.yaml\nz_dim: 4\n")
    config, given = drwr_config.read_config(path, ["num_views=7", "z_dim=5"])
    assert [config[n] for n in ("fc_dim", "batch_size", "f_dim")] == [1024, 2, 3]
    assert [config[n] for n in ("z_dim", "num_views")] == [5, 7]
    assert given == {"batch_size", "f_dim", "z_dim", "num_views"}


def test_texts_of_the_command_line_take_the_type_of_the_key(tmp_path):
    path = write(tmp_path, "batch_size: 2\n")
    changes = ["synth_set=03001627", "learning_rate=2e-3", "predict_pose", "decay=TRUE"]
    changes += ["gt_pc_dir=", "pc_fast=false", "max_number_of_steps=1e5"]
    config, _ = drwr_config.read_config(path, changes)
    assert config["synth_set"] == "03001627" and config["learning_rate"] == 2e-3
    assert config["predict_pose"] is config["decay"] is True
    assert config["pc_fast"] is False and config["gt_pc_dir"] == ""
    assert config["max_number_of_steps"] == 100_000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("bacth_size=3", "--set: unknown key 'bacth_size'; did you mean 'batch_size'"),
        ("batch_size=x", "--set: 'batch_size': expected a whole number; got 'x'"),
        ("batch_size", "'batch_size': expected a whole number; got True"),
        ("synth_set", "'synth_set': expected a name or path; got True"),
        ("pc_fast=1", "'pc_fast': expected true or false; got '1'"),
        ("config=a.yaml", "'config': expected a key other than the files"),
        ("=3", "--set: expected NAME=VALUE; got '=3'"),
    ],
)
def test_a_bad_change_is_named(tmp_path, change, message):
    path = write(tmp_path, "batch_size: 2\n")
    with pytest.raises(FormatError, match=message):
        drwr_config.read_config(path, [change])
    with pytest.raises(FormatError, match="--set: 'z_dim' is given twice"):
        drwr_config.read_config(path, ["z_dim=1", "z_dim=1"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bacth_size: 3", "unknown key 'bacth_size'; did you mean 'batch_size'"),
        ("xyzzy: 3", "unknown key 'xyzzy'; see configs/README.md"),
        ("batch_size: 2.5", "'batch_size': expected a whole number; got 2.5"),
        ("batch_size: true", "expected a whole number; got True"),
        ("batch_size: null", "expected a whole number; got None"),
        ("batch_size: [1]", r"expected a whole number; got \[1\]"),
        ("batch_size: {a: 1}", "expected a whole number; got {'a': 1}"),
        ("batch_size: 0", r"expected a value in \[1"),
        ("batch_size: 1" + 400 * "0", "expected a whole number"),
        ("learning_rate: fast", "expected a number; got 'fast'"),
        ("learning_rate: true", "expected a number; got True"),
        ("learning_rate: .inf", "expected a number; got inf"),
        ("pc_fast: 1", "expected true or false; got 1"),
        ("pc_fast: 'true'", "expected true or false; got 'true'"),
        ("synth_set: 03001627", "expected a name or path; got 787351 .* needs quotes"),
        ("synth_set: true", "expected a name or path; got True"),
        ("synth_set: ''", "expected a name or path; got ''"),
        ("checkpoint_dir: 'a # b'", "expected a name or path"),
        ("encoder_name: resnet", "expected encoder; got 'resnet'"),
        ("pc_point_dropout: 1.5", r"expected a value in \[1e-06, 1\]"),
        ("pc_point_dropout_start_step: 1", "'pc_point_dropout_start_step' below"),
        ("batch_size: 1\nbatch_size: 1", "'batch_size' is given twice"),
        ("z_dim: &a 1\nf_dim: *a", "got an alias"),
        ("z_dim: !!int 1", "got a tag"),
        ("config: config.yaml", "inherits from itself through config"),
        ("config: 3", "'config': expected a path; got 3"),
        (
            "vox_marching_cubes_dense: false\nvox_marching_cubes_isosurface_dense: no",
            "both are one",
        ),
    ],
)
def test_a_bad_key_or_value_is_named(tmp_path, text, message):
    with pytest.raises(FormatError, match=message) as caught:
        lines(write(tmp_path, text))
    assert "config.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_the_system_is_told_by_the_keys(tmp_path, capsys):
    flat = write(tmp_path, SHIPPED + "shuffle_batch: true\n")
    programs.run_inside(import_config, config=flat, output=None, **FLAGS)
    printed = capsys.readouterr()
    assert "--data_dir=data/records/config" in printed.out.splitlines()
    assert printed.err == (
        "note: 'shuffle_batch', True, is ignored: the original never reads it.\n"
    )
    sections = write(tmp_path, "training: {batch_size: 2}\n", "dvr.yaml")
    programs.run_inside(
        import_config,
        **{**FLAGS, "config": sections, "set": ["training.batch_size=3"]},
        output=None,
    )
    printed = capsys.readouterr().out.splitlines()
    assert "--batch_size=3" in printed and "--encoder=resnet18" in printed
    neither = write(tmp_path, "apples: 3\npears: 4\n", "x.yaml")
    with pytest.raises(FormatError, match="got 'apples', 'pears'. --system says"):
        programs.run_inside(import_config, config=neither, output=None, **FLAGS)
    with pytest.raises(FormatError, match="unknown key 'apples'"):
        programs.run_inside(
            import_config, **{**FLAGS, "system": "drwr"}, config=neither, output=None
        )


def test_flags_of_another_system_are_refused(tmp_path):
    flat = write(tmp_path, SHIPPED)
    sections = write(tmp_path, "training: {batch_size: 2}\n", "dvr.yaml")
    for path, change, message in (
        (flat, {"legacy": True}, "--legacy: not for a configuration of drwr"),
        (sections, {"modern": True}, "--modern: not for a configuration of dvr"),
        ("a.json", {"set": ["a=1"]}, "--set: expected a YAML configuration"),
        ("a.json", {"system": "drwr"}, "expected .yaml or .yml; got 'a.json'"),
        (str(tmp_path / "no.yaml"), {}, "no.yaml: no such file"),
    ):
        with pytest.raises((FormatError, FileNotFoundError), match=message):
            programs.run_inside(
                import_config, **{**FLAGS, **change}, config=path, output=None
            )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/drwr").glob("*.cfg")), ids=lambda p: p.stem
)
def test_every_flag_of_our_files_has_a_comment_above_and_is_given_once(path):
    text = path.read_text().splitlines()
    given = [line for line in text if not line.startswith("#")]
    for line in given:
        assert re.fullmatch(r"--\w+(=[\w./,-]*)?", line), line
        assert text[text.index(line) - 1].startswith("# ")
    names = [line.split("=")[0] for line in given]
    assert len(names) == len(set(names))


def test_every_flag_exists_in_its_program(tmp_path):
    tools = [RECORDS, PREDICTIONS, SCORES]
    found = programs.flags_of([*tools, TRAINER])
    for name, key in KEYS.items():
        if key.program and name != "config":
            assert key.flag in found[key.program], name
    written = set()
    for path in (ROOT / "configs/drwr").glob("*.cfg"):
        written |= set(shipped(path.stem))
    text = "cd_weight: 1\npredict_pose: true\neval_unsupervised_shape: true\n"
    path = write(tmp_path, text)
    for settings in ({}, {"modern": True}, {"dpc": True}):
        imported = lines(path, **settings)
        written |= set(flag_values(imported))
        for program in tools:
            words = commands(imported, program)
            used = {w[2:].split("=")[0] for w in words if w.startswith("--")}
            assert used <= set(found[program]), (program, used)
    assert written <= set(found[TRAINER])
