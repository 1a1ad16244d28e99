"""The loop: what a run leaves behind, and how it meets faults."""

import dataclasses
import fcntl
import json
import os
import subprocess

import keras
import numpy as np
import pytest
import tensorflow as tf

from datasets import records
from tests.trainers import toy_experiment as toy
from tfrender.io.errors import FormatError
from trainers import loop
from trainers.errors import TrainingError
from trainers.flags import Settings, parse_lines
from trainers.journal import Journal
from trainers.steps import Evaluator
from trainers.strategies import Cluster


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return toy.write_data(tmp_path_factory.mktemp("toy"))


def settings_for(data, folder, **options):
    defaults = {"batch_size": 4, "steps": 6, "learning_rate": 0.01, "export": "none"}
    return Settings(data, str(folder), **{**defaults, **options})


def train(data, folder, **options):
    names = {"dropout", "norm", "width", "nan_from", "nan_steps", "hook"} & set(options)
    toys = {name: options.pop(name) for name in names}
    settings = settings_for(data, folder, **options)
    return loop.train(toy.experiment(settings, **toys), settings)


class TestRun:
    """One run with everything on; its parts are looked at one by one."""

    @pytest.fixture(scope="class")
    def run(self, data, tmp_path_factory):
        folder = tmp_path_factory.mktemp("run") / "out"
        options = {"steps": 60, "eval_every": 20, "log_images_every": 30}
        result = train(data, folder, export="best", dropout=0.0, **options)
        return folder, result

    def test_it_learns(self, run):
        lines = [json.loads(x) for x in open(run[0] / "metrics.jsonl")]
        losses = [line["loss"] for line in lines if line["group"] == "train"]
        assert losses[-1] < 0.4 * losses[0]

    def test_held_out_means_are_exact_with_a_partial_last_batch(self, data, run):
        folder, result = run
        errors, psnr = [], []
        stream = records.record_stream(data, "test", shuffle=False, cycle=False)
        for record in stream:
            fields = tf.io.parse_single_example(record, toy._FEATURES)
            y = tf.sigmoid(result.model(fields["x"][None])).numpy()
            errors.append(np.mean((y - fields["y"].numpy()) ** 2))
            psnr.append(-10 * np.log10(errors[-1]))
        assert len(errors) == 7
        assert result.metrics["examples"] == 7
        np.testing.assert_allclose(result.metrics["loss"], np.mean(errors), rtol=1e-5)
        np.testing.assert_allclose(result.metrics["psnr"], np.mean(psnr), rtol=1e-5)

    def test_the_log_has_training_speed_and_held_out_numbers(self, run):
        lines = [json.loads(x) for x in open(run[0] / "metrics.jsonl")]
        tests = [line["step"] for line in lines if line["group"] == "test"]
        assert tests == [20, 40, 60]
        speed = [line for line in lines if line["group"] == "speed"][-1]
        assert speed["examples_per_second"] > 0
        assert 0 <= speed["data_wait"] <= 1
        assert 0 < speed["learning_rate"] < 0.01
        assert list((run[0] / "log").glob("events.*"))

    def test_pictures_hold_prediction_and_target_side_by_side(self, data, run):
        names = sorted(os.listdir(run[0] / "images"))
        assert names == ["step-00000030.png", "step-00000060.png"]
        png = tf.io.decode_png((run[0] / "images" / names[1]).read_bytes()).numpy()
        height, width = toy.SIZE
        assert png.shape == (4 * (height + 2), 2 * (width + 2), 3)
        stream = records.record_stream(data, "test", shuffle=False, cycle=False)
        fields = tf.io.parse_single_example(next(iter(stream)), toy._FEATURES)
        target = png[:height, width + 2 : 2 * width + 2] / 255
        assert np.abs(target - fields["y"].numpy()).max() <= 0.5 / 255 + 1e-6

    def test_flags_are_stored_as_a_flag_file(self, data, run):
        stored = parse_lines((run[0] / "flags.cfg").read_text().splitlines())
        assert stored["data_dir"] == data
        assert stored["steps"] == "60"

    def test_the_export_answers_like_the_best_model(self, run):
        best = json.loads((run[0] / "checkpoints" / "best" / "best.json").read_text())
        assert best["step"] == 60  # so the last weights are the best ones
        loaded = tf.saved_model.load(str(run[0] / "saved_model"))
        x = np.random.default_rng(1).random((3, *toy.SIZE, 1), np.float32)
        found = loaded.signatures["serve"](x=tf.constant(x))["y"]
        np.testing.assert_allclose(found, tf.sigmoid(run[1].model(x)), atol=1e-6)

    def test_the_card_tells_data_steps_metrics_versions_and_command(self, data, run):
        text = (run[0] / "saved_model" / "model_card.md").read_text()
        psnr = f"| `psnr` | {run[1].metrics['psnr']:.5g} |"
        for part in ("A toy.", "| `steps` | 60 |", data, psnr, tf.__version__):
            assert part in text
        assert "## Command" in text and "--batch_size=4" in text

    def test_a_finished_run_can_be_run_again(self, data, run, capsys):
        options = {"steps": 60, "eval_every": 20, "log_images_every": 30}
        again = train(data, run[0], dropout=0.0, **options)
        assert again.step == 60
        assert "continuing at step 60" in capsys.readouterr().out
        np.testing.assert_allclose(again.metrics["psnr"], run[1].metrics["psnr"])


class TestNotFinite:
    def test_one_bad_batch_is_not_applied_and_poisons_nothing(self, data, tmp_path):
        counted = {}

        def keep(settings):
            experiment = toy.experiment(settings, nan_from=2, nan_steps=2)

            def optimizer():
                counted["optimizer"] = experiment.optimizer()
                return counted["optimizer"]

            return dataclasses.replace(experiment, optimizer=optimizer)

        settings = settings_for(data, tmp_path / "out")
        result = loop.train(keep(settings), settings)
        assert result.step == 6
        assert int(counted["optimizer"].iterations) == 4
        for variable in result.model.variables:
            assert np.isfinite(variable.numpy()).all(), variable.path
        assert np.isfinite(result.metrics["psnr"])

    def test_three_in_a_row_stop_the_run_with_the_batch_in_a_file(self, data, tmp_path):
        with pytest.raises(TrainingError, match="not finite.*3rd in a row") as error:
            train(data, tmp_path / "out", nan_from=2, checkpoint_minutes=0)
        assert "\n" not in str(error.value)
        batch = np.load(tmp_path / "out" / "bad-batch-4.npz")
        assert batch["x"].shape == (4, *toy.SIZE, 1) and np.isnan(batch["x"]).all()
        assert (int(batch["step"]), int(batch["seed"])) == (4, 0)
        newest = tf.train.latest_checkpoint(str(tmp_path / "out" / "checkpoints"))
        reader = tf.train.load_checkpoint(newest)
        for name, dtype in reader.get_variable_to_dtype_map().items():
            if dtype.is_floating:
                assert np.isfinite(reader.get_tensor(name)).all(), name

    def test_strings_of_a_bad_batch_are_stored_without_pickle(self, data, tmp_path):
        settings = settings_for(data, tmp_path / "out")
        experiment = toy.experiment(settings, nan_from=0)

        def named(*arguments):
            return experiment.dataset(*arguments).map(
                lambda batch: {**batch, "object": tf.fill([4], "chair")}
            )

        with pytest.raises(TrainingError, match="Batch in .*bad-batch-2.npz"):
            loop.train(dataclasses.replace(experiment, dataset=named), settings)
        batch = np.load(tmp_path / "out" / "bad-batch-2.npz", allow_pickle=False)
        assert batch["object"].tolist() == [b"chair"] * 4
        assert not list((tmp_path / "out").glob("*.tmp-*"))


class TestOutputDir:
    @pytest.fixture(scope="class")
    def held(self, data, tmp_path_factory):
        folder = tmp_path_factory.mktemp("held")
        train(data, folder, steps=1)
        return folder

    def test_other_flags_are_listed_and_refused(self, data, held):
        with pytest.raises(TrainingError, match="--batch_size: was 4, now 2; --seed"):
            train(data, held, batch_size=2, seed=1)

    def test_noresume_does_not_delete(self, data, held):
        with pytest.raises(TrainingError, match="--resume.*--overwrite"):
            train(data, held, resume=False)
        assert (held / "checkpoints" / "ckpt-1.index").exists()

    def test_a_second_process_is_refused_with_the_name_of_the_first(self, data, held):
        with open(held / "lock", "w") as file:
            file.write("pid 12 on other")
            file.flush()
            fcntl.flock(file, fcntl.LOCK_EX)
            with pytest.raises(TrainingError, match="pid 12 on other"):
                train(data, held)

    def test_a_folder_that_is_no_run_is_refused(self, data, tmp_path):
        (tmp_path / "thesis.tex").write_text("years of work")
        with pytest.raises(TrainingError, match="thesis.tex.*no run"):
            train(data, tmp_path)
        assert sorted(os.listdir(tmp_path)) == ["lock", "thesis.tex"]
        assert (tmp_path / "thesis.tex").read_text() == "years of work"

    @pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
    def test_when_all_checkpoints_are_damaged_no_start_begins_at_zero(
        self, data, tmp_path, part
    ):
        train(data, tmp_path / "out", steps=1)
        path = tmp_path / "out" / "checkpoints" / f"ckpt-1.{part}"
        os.truncate(path, 10) if part == "index" else path.unlink()
        for _ in range(2):
            with pytest.raises(TrainingError, match="damaged; pass --overwrite"):
                train(data, tmp_path / "out", steps=1)
        assert train(data, tmp_path / "out", steps=1, overwrite=True).step == 1

    def test_what_a_dead_process_left_is_removed(self, data, tmp_path):
        finished = subprocess.Popen(["true"])
        finished.wait()
        alive = os.getppid()
        train(data, tmp_path, steps=1)
        for pid in (finished.pid, alive):
            (tmp_path / f"saved_model.tmp-{pid}").mkdir()
            (tmp_path / f"metrics.jsonl.tmp-{pid}").write_text("x")
        (tmp_path / f"mine.tmp-{finished.pid}").write_text("x")
        train(data, tmp_path, steps=1)
        left = {path.name for path in tmp_path.glob("*.tmp-*")}
        assert left == {
            f"saved_model.tmp-{alive}",
            f"metrics.jsonl.tmp-{alive}",
            f"mine.tmp-{finished.pid}",
        }

    def test_overwrite_deletes_the_run_and_nothing_else(self, data, held):
        (held / "notes.txt").write_text("mine")
        result = train(data, held, steps=2, batch_size=2, overwrite=True)
        assert result.step == 2
        assert (held / "notes.txt").exists()
        assert not (held / "checkpoints" / "ckpt-1.index").exists()

    def test_changed_data_are_told_and_the_weights_kept(self, tmp_path, capsys):
        data = toy.write_data(tmp_path / "data")
        train(data, tmp_path / "out", steps=1)
        for path in (tmp_path / "data").iterdir():
            path.unlink()
        toy.write_data(tmp_path / "data", train=12)
        assert train(data, tmp_path / "out", steps=2).step == 2
        assert "data changed since this run began" in capsys.readouterr().out


class TestBadInput:
    def test_a_wrong_data_folder_is_told_before_the_model_is_built(self, tmp_path):
        settings = settings_for(str(tmp_path / "nowhere"), tmp_path / "out")

        def never():
            raise AssertionError("the model was built")

        experiment = dataclasses.replace(toy.experiment(settings), model=never)
        with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
            loop.train(experiment, settings)

    def test_a_run_that_failed_so_may_start_again_with_the_right_folder(
        self, data, tmp_path
    ):
        with pytest.raises(FileNotFoundError):
            train(str(tmp_path / "nowhere"), tmp_path / "out")
        assert train(data, tmp_path / "out", steps=1).step == 1

    def test_a_damaged_shard_is_named(self, tmp_path):
        data = toy.write_data(tmp_path / "data")
        path = records.read_split(data, "train").shards[1].path
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) - 9)
            file.write(b"\xff\xff")
        with pytest.raises(FormatError, match="train-00001-of-00004"):
            train(data, tmp_path / "out")

    def test_an_uneven_share_of_a_batch_is_refused(self):
        class Two:
            num_replicas_in_sync = 2

        with pytest.raises(
            ValueError, match="`batch_size` must be a multiple of the 2"
        ):
            Cluster(Two()).check_batch("batch_size", 7)

    def test_a_metric_that_does_not_exist_cannot_choose_the_best(self, data, tmp_path):
        settings = settings_for(data, tmp_path / "out", steps=1)
        experiment = dataclasses.replace(toy.experiment(settings), best=("iou", "max"))
        with pytest.raises(ValueError, match=r"`best`.*\['examples', 'loss', 'psnr'\]"):
            loop.train(experiment, settings)

    def test_running_out_of_memory_names_the_flags_to_lower(self, data, tmp_path):
        settings = settings_for(data, tmp_path / "out", steps=1)

        def loss(*_):
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

        experiment = dataclasses.replace(toy.experiment(settings), loss=loss)
        with pytest.raises(TrainingError, match="batch of 4.*--batch_size"):
            loop.train(experiment, settings)

    def test_a_full_disk_is_not_taken_for_too_little_memory(self, data, tmp_path):
        settings = settings_for(data, tmp_path / "out", steps=1)

        def loss(*_):
            text = "log/events.1; No space left on device"
            raise tf.errors.ResourceExhaustedError(None, None, text)

        experiment = dataclasses.replace(toy.experiment(settings), loss=loss)
        with pytest.raises(TrainingError, match="the disk is full.*make room") as error:
            loop.train(experiment, settings)
        assert "memory" not in str(error.value)


class TestBest:
    @pytest.mark.parametrize("lost", ["*.data*", "*.index", "best.json"])
    def test_an_export_of_lost_best_weights_takes_the_newest(
        self, data, tmp_path, capsys, lost
    ):
        folder, best = tmp_path / "out", tmp_path / "out" / "checkpoints" / "best"
        train(data, folder, steps=2)
        record = json.loads((best / "best.json").read_text())
        (best / "best.json").write_text(json.dumps({**record, "value": 99.0}))
        (path,) = best.glob(lost)
        os.truncate(path, 5)
        capsys.readouterr()
        result = train(data, folder, steps=3, export="best")
        told = capsys.readouterr().out
        assert ("best checkpoint cannot be used" in told) == (lost != "best.json")
        assert ("the best is chosen anew" in told) == (lost == "best.json")
        record = json.loads((best / "best.json").read_text())
        assert (record["step"], record["metrics"]) == (3, result.metrics)
        text = (folder / "saved_model" / "model_card.md").read_text()
        assert f"| `psnr` | {result.metrics['psnr']:.5g} |" in text


class TestJournal:
    def test_a_full_disk_under_the_log_is_told_once(self, tmp_path, capsys):
        journal = Journal(tmp_path, 0)
        journal.scalars(1, "train", {"loss": 1.0})
        lines = tmp_path / "metrics.jsonl"
        lines.rename(tmp_path / "kept")
        lines.symlink_to("/dev/full")
        for step in (2, 3):
            journal.scalars(step, "train", {"loss": 1.0})
        told = capsys.readouterr().out
        assert told.count("the disk is full") == 1 and "goes on" in told
        lines.unlink()
        (tmp_path / "kept").rename(lines)
        journal.scalars(4, "train", {"loss": 1.0})
        journal.close()
        steps = [json.loads(line)["step"] for line in open(lines)]
        assert steps == [1, 4]

    def test_a_refused_write_cuts_no_line_in_two(self, tmp_path, capsys):
        resource = pytest.importorskip("resource")
        journal = Journal(tmp_path, 0)
        journal.scalars(1, "train", {"loss": 1.0})
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (tmp_path / "metrics.jsonl").stat().st_size
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 9, old[1]))
            journal.scalars(2, "train", {"loss": 1.0})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        journal.scalars(3, "train", {"loss": 1.0})
        journal.close()
        steps = [json.loads(x)["step"] for x in open(tmp_path / "metrics.jsonl")]
        assert steps == [1, 3]
        assert "cannot be written" in capsys.readouterr().out

    def test_a_full_disk_under_tensorboard_does_not_stop(
        self, tmp_path, capsys, monkeypatch
    ):
        def full(*_, **__):
            text = "log/events.1; No space left on device"
            raise tf.errors.ResourceExhaustedError(None, None, text)

        monkeypatch.setattr(tf.summary, "scalar", full)
        monkeypatch.setattr(tf.summary, "image", full)
        journal = Journal(tmp_path, 0)
        journal.scalars(1, "train", {"loss": 1.0})
        journal.pictures(1, {"target": np.zeros([1, 4, 4, 3])})
        journal.close()
        assert capsys.readouterr().out.count("the disk is full") == 1
        assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1
        assert os.listdir(tmp_path / "images") == ["step-00000001.png"]


def test_an_evaluation_gives_up_when_asked(data):
    asked = []

    def stop():
        asked.append(True)
        return len(asked) == 2

    cluster = Cluster(tf.distribute.get_strategy())
    evaluator = Evaluator(lambda x: {"x": x["x"]}, cluster, 2)
    numbers = tf.data.Dataset.from_tensor_slices({"x": tf.range(9.0)}).batch(2)
    assert evaluator(numbers, stop) is None
    assert len(asked) == 2
    assert evaluator(numbers) == {"x": 4.0, "examples": 9}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_and_exports_float32(data, tmp_path, precision):
    folder = tmp_path / "out"
    result = train(data, folder, mixed_precision=precision, export="last", norm=False)
    assert result.model.layers[0].compute_dtype == precision
    assert keras.config.dtype_policy().name == "float32"
    loaded = tf.saved_model.load(str(folder / "saved_model"))
    x = tf.ones([1, *toy.SIZE, 1])
    exported = loaded.signatures["serve"](x=x)["y"]
    half = tf.sigmoid(tf.cast(result.model(x), tf.float32))
    np.testing.assert_allclose(exported, half, atol=0.02)
    graph = loaded.signatures["serve"].graph.as_graph_def().SerializeToString()
    assert tf.constant(0.0, precision).dtype.name.encode() not in graph


def test_a_batch_may_change_its_shape_on_the_way(data, tmp_path):
    """A crop curriculum: small windows first, drawn from (seed, step)."""
    settings = settings_for(data, tmp_path / "out", steps=6)
    experiment = toy.experiment(settings, norm=False, dropout=0.0)
    seen = []

    def crop(split, start, batch_size):
        whole = experiment.dataset(split, start, batch_size)
        if split != "train":
            return whole
        steps = tf.data.Dataset.range(start // batch_size, 2**62)

        def window(step, batch):
            size = tf.where(step < 3, 2, 4)
            first = tf.random.stateless_uniform(
                [], [settings.seed, step], 0, 5 - size, tf.int32
            )
            return {k: v[:, first : first + size, :4] for k, v in batch.items()}

        return tf.data.Dataset.zip(steps, whole).map(window)

    def model():
        inputs = keras.Input([None, None, 1])
        return keras.Model(inputs, keras.layers.Conv2D(1, 3, padding="same")(inputs))

    def loss(network, batch, training, step):
        seen.append(batch["x"].shape[1])
        return experiment.loss(network, batch, training, step)

    changed = dataclasses.replace(experiment, model=model, dataset=crop, loss=loss)
    assert loop.train(changed, settings).step == 6
    assert seen == [2, 4, 4]  # traced once a shape, and once for the evaluation
