"""Claims of tools.dvr_config and dvr_flag_file, and of the table that they read."""

import pathlib
import re

import pytest

from tests.tools import programs
from tfrender.io import FormatError
from tools import dvr_config, dvr_flag_file, import_config
from tools.dvr_config_keys import KEYS, PICTURES, RECORDS, TRAINER

ROOT = pathlib.Path(__file__).parents[2]
# Settings that the original's experiments make, beside its defaults.
EXPERIMENTS = {
    "single_view_rgb": """
inherit_from: configs/default.yaml
data:
  path: data/NMR_Dataset
  dataset_name: NMR
  img_folder_input: image
  img_extension_input: png
  train_split: softras_train
  val_split: softras_val
  test_split: softras_test
  depth_from_visual_hull: true
  depth_range: [0, 5]
model:
  decoder_kwargs:
    hidden_size: 128
training:
  out_dir: out/single_view/rgb
  n_workers: 8
  model_selection_metric: mask_intersection
  model_selection_mode: maximize
  n_eval_points: 4096
""",
    "single_view_depth": """
inherit_from: configs/default.yaml
model:
  decoder_kwargs: {out_dim: 1}
  lambda_depth: 1
  lambda_rgb: 0
training:
  model_selection_metric: loss_depth_eval
generation:
  with_colors: false
  mesh_extension: off
""",
    "single_view_combined": """
inherit_from: configs/default.yaml
model:
  lambda_depth: 10
training:
  n_training_points: 768
  model_selection_metric: loss_depth_eval
""",
    "multi_view_rgb": """
inherit_from: configs/default.yaml
data:
  path: data/DTU
  dataset_name: DTU
  classes: ['scan106']
  n_views: 49
  ignore_image_idx: [3, 4, 5]
  input_type: null
  train_split: null
  val_split: null
  test_split: null
  cache_fields: true
  split_model_for_images: true
  depth_range: [0, 1400]
model:
  c_dim: 0
  encoder: null
  patch_size: 2
  lambda_image_gradients: 1.
  lambda_normal: 0.1
training:
  out_dir: out/multi_view/birds
  batch_size: 1
  batch_size_val: 1
  n_training_points: 2048
  n_eval_points: 16000
  scheduler_milestones: [3000, 5000]
  depth_loss_on_world_points: true
  validate_every: 5000
  model_selection_metric: mask_intersection
  model_selection_mode: maximize
generation:
  upsampling_steps: 4
""",
    "multi_view_mvs": """
inherit_from: configs/multi_view_rgb.yaml
model:
  lambda_depth: 1
""",
}
EXPERIMENTS["multi_view_depth"] = EXPERIMENTS["multi_view_mvs"]
# Of our files alone: why they may differ from the original's.
OURS = {"data_dir", "output_dir", "held_out"}


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """Folder with the original's layout of configurations."""
    folder = tmp_path_factory.mktemp("original") / "configs"
    folder.mkdir()
    (folder / "default.yaml").write_text("method: dvr\nmodel:\n  c_dim: 256\n")
    for name, text in EXPERIMENTS.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def write(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return str(path)


def lines(path, legacy=False):
    config, given = dvr_config.read_config(str(path))
    return dvr_flag_file.flag_lines(config, given, "config.yaml", "RECORDS", legacy)


def flag_values(found):
    pairs = (line[2:].split("=", 1) for line in found if line.startswith("--"))
    return dict(pairs)


def commands(found, program):
    """Words of the command of a program in the comments."""
    text = "\n".join(found).replace(" \\\n#", "")
    (line,) = (row for row in text.splitlines() if f"python -m {program} " in row)
    return line.split()


def shipped(name):
    """Flags of one of our files, its parents' first."""
    found = {}
    for line in (ROOT / "configs/dvr" / f"{name}.cfg").read_text().splitlines():
        if line.startswith("--flagfile="):
            found |= shipped(pathlib.Path(line.split("=")[1]).stem)
        elif line.startswith("--"):
            key, value = line[2:].split("=", 1)
            found[key] = value
    return found


def number(text):
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        return text


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_of_the_original_becomes_our_file_for_it(configs, name):
    imported, ours = flag_values(lines(configs / f"{name}.yaml")), shipped(name)
    assert len(imported) > 40
    for flag, value in imported.items():
        if flag not in OURS and flag != "strategy":
            scale = {"steps": 0.01}.get(flag, 1e-6)
            expected = number(ours[flag])
            if isinstance(expected, list):
                expected = pytest.approx(expected, rel=scale)
            assert number(value) == expected, flag


@pytest.mark.parametrize(
    "path", sorted((ROOT / "configs/dvr").glob("*.cfg")), ids=lambda p: p.stem
)
def test_every_flag_of_our_files_has_a_comment_above_and_is_given_once(path):
    text = path.read_text().splitlines()
    given = [line for line in text if not line.startswith("#")]
    for line in given:
        assert re.fullmatch(r"--\w+=[\w./,-]*", line), line
        assert text[text.index(line) - 1].startswith("# ")
    names = [line.split("=")[0] for line in given]
    assert len(names) == len(set(names))


def test_comments_stand_above_the_flags_and_the_commands_name_the_tools(configs):
    found = lines(configs / "multi_view_rgb.yaml")
    for line in found:
        assert line.startswith(("--", "#")) and len(line) <= 88
        if line.startswith("--"):
            assert found[found.index(line) - 1].startswith("# ")
    records = commands(found, RECORDS)
    for word in ("--layout=dtu", "--views=49", "--ignore_views=3,4,5"):
        assert word in records
    assert "--classes=scan106" in records and "--output=RECORDS" in records
    assert "--upsampling_steps=4" in commands(found, "tools.generate_meshes")
    assert "--march_samples=1024" in commands(found, PICTURES)
    single = lines(configs / "single_view_rgb.yaml")
    assert "--split=softras_train,softras_val,softras_test" in commands(single, RECORDS)
    assert "--split=test" in commands(single, "tools.generate_meshes")


def test_missing_keys_take_the_defaults_and_say_so(tmp_path):
    found = lines(write(tmp_path, "training:\n  batch_size: 2\n"))
    at = found.index("--batch_size=2")
    assert "Default" not in found[at - 1]
    assert found[found.index("--learning_rate=0.0001") - 1].endswith("(Default.)")
    assert flag_values(found)["encoder"] == "resnet18"
    assert not any(line.startswith("--points_per_chunk") for line in found)


def test_numbers_may_be_written_as_texts(tmp_path):
    text = "training: {learning_rate: 1e-4, batch_size: '8', validate_every: 2e3}\n"
    found = flag_values(lines(write(tmp_path, text)))
    assert found["learning_rate"] == "0.0001"
    assert (found["batch_size"], found["eval_every"]) == ("8", "2000")


def test_the_encoder_comes_from_two_keys(tmp_path):
    for text, kind in (
        ("model: {encoder: idx}", "embedding"),
        ("data: {input_type: idx}", "embedding"),
        ("data: {input_type: null}\nmodel: {c_dim: 0}", "none"),
        ("model: {encoder: null, c_dim: 0}", "none"),
        ("model: {encoder: resnet101}", "resnet101"),
    ):
        assert flag_values(lines(write(tmp_path, text)))["encoder"] == kind
    # Which the original builds in its place.
    assert flag_values(lines(write(tmp_path, text), True))["encoder"] == "resnet50"


def test_legacy_keeps_the_march_outside_of_the_cube(configs, tmp_path):
    path = write(tmp_path, "data: {depth_range: [0, 5]}")
    found = flag_values(lines(path, legacy=True))
    assert (found["legacy"], found["outside_range"]) == ("true", "0,5")
    found = lines(path)
    assert flag_values(found)["outside_range"] == ""
    assert "# depths of 0 to 5 and can meet ghosts there (--legacy)." in found
    # Units of the scene, whose scale the configuration does not hold.
    scene = lines(configs / "multi_view_rgb.yaml", legacy=True)
    assert flag_values(scene)["outside_range"] == ""
    assert any("units of the scene" in line for line in scene)


def test_a_march_without_the_cube_has_its_depths(tmp_path):
    text = "model: {depth_function_kwargs: {check_cube_intersection: false}}"
    found = flag_values(lines(write(tmp_path, text)))
    assert found["cube_intersection"] == "false"
    assert found["outside_range"] == "0,2.4"


def test_depth_maps_say_where_points_are_occupied(tmp_path):
    for text, flag in (("0", "false"), ("1", "true")):
        found = lines(write(tmp_path, f"model: {{lambda_depth: {text}}}"))
        assert flag_values(found)["occupied_at_depth"] == flag


def test_a_march_without_a_schedule_has_no_milestones(tmp_path):
    text = "model: {depth_function_kwargs: {schedule_ray_sampling: false}}"
    assert flag_values(lines(write(tmp_path, text)))["march_milestones"] == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainig: {batch_size: 3}", "unknown key 'trainig'"),
        ("training: {bacth_size: 3}", "did you mean 'training.batch_size'"),
        ("model: {batch_size: 3}", "unknown key 'model.batch_size'; did you mean"),
        ("model: {decoder_kwargs: {n_block: 3}}", "'model.decoder_kwargs.n_blocks'"),
        ("xyzzy: 3", "unknown key 'xyzzy'; see configs/README.md"),
        ("training: {batch_size: 2.5}", "'training.batch_size': expected a whole"),
        ("training: {batch_size: true}", "expected a whole number; got True"),
        ("training: {batch_size: 0}", r"expected a value in \[1"),
        ("training: {learning_rate: fast}", "expected a number; got 'fast'"),
        ("training: {learning_rate: .nan}", "expected a number; got nan"),
        ("training: {multi_gpu: 1}", "expected true or false; got 1"),
        ("training: {scheduler_milestones: 3}", "expected a list of numbers"),
        ("training: {scheduler_milestones: [a]}", "expected a list of numbers"),
        ("training: {out_dir: 'run # 1'}", "expected a name or path"),
        ("training: {out_dir: null}", "expected a name or path; got None"),
        ("training: {model_selection_mode: min}", "expected minimize, maximize"),
        ("data: {depth_range: [0]}", "expected 2 values; got 1"),
        ("data: {classes: [3]}", "expected a list of texts"),
        ("data: {dataset_name: COCO}", "expected Shapes3D, NMR, DTU, images"),
        ("method: nerf", "'method': expected dvr; got 'nerf'"),
        ("model: {decoder_kwargs: {out_dim: 3}}", "expected 4, 1; got 3"),
        ("model: {encoder: null}", "'model.c_dim' must be 0 without"),
        ("model: {c_dim: 0}", "above 0 with"),
        (
            "data: {depth_from_visual_hull: true}\nmodel: {lambda_depth: 1}",
            "got both, and one would hide the other",
        ),
    ],
)
def test_a_bad_key_or_value_is_named(tmp_path, text, message):
    with pytest.raises(FormatError, match=message) as caught:
        lines(write(tmp_path, text))
    assert "config.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_the_program_tells_the_systems_apart(configs, tmp_path, capsys):
    flags = {"preset": "paper", "records": None, "legacy": False}
    flags |= {"system": "auto", "set": [], "modern": False}
    path = str(configs / "multi_view_mvs.yaml")
    programs.run_inside(import_config, config=path, output=None, **flags)
    printed = capsys.readouterr().out
    assert "--data_dir=data/records/multi_view_mvs" in printed.splitlines()
    programs.run_inside(
        import_config, config=path, output=str(tmp_path / "a/x.cfg"), **flags
    )
    assert (tmp_path / "a/x.cfg").read_text() == printed
    with pytest.raises(FormatError, match="expected .json, .yaml or .yml"):
        programs.run_inside(import_config, config="a.toml", output=None, **flags)


def readme_rows():
    """Keys in the first column of the DVR table of configs/README.md -> the rest."""
    text = (ROOT / "configs/README.md").read_text()
    section = text.split("\n## DVR")[1].split("\n## ")[0]
    rows = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            names, rest = line[2:].split(" | ", 1)
            for name in re.findall(r"`([^`]+)`", names):
                assert name not in rows, name
                rows[name] = rest
    return rows


def test_the_page_lists_every_key_and_where_it_goes():
    rows = readme_rows()
    assert set(rows) == set(KEYS) | {"inherit_from"}
    for name, key in KEYS.items():
        if key.flag:
            assert f"--{key.flag}" in rows[name], name
            program = "" if key.program == TRAINER else key.program
            assert program in rows[name], name


def test_every_flag_exists_in_its_program(configs):
    programs_of = sorted({key.program for key in KEYS.values() if key.program})
    found = programs.flags_of(programs_of)
    for name, key in KEYS.items():
        if key.program:
            assert key.flag in found[key.program], name
    written = set()
    for path in (ROOT / "configs/dvr").glob("*.cfg"):
        written |= set(shipped(path.stem))
    for name in EXPERIMENTS:
        for legacy in (False, True):
            imported = lines(configs / f"{name}.yaml", legacy)
            written |= set(flag_values(imported))
            for program in found.keys() - {TRAINER}:
                words = commands(imported, program)
                used = {w[2:].split("=")[0] for w in words if w.startswith("--")}
                assert used <= set(found[program]), (program, used)
    assert written <= set(found[TRAINER])
