"""Checkpoints: exact, pruned, and usable after every kind of damage."""

import errno
import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainers.checkpoints import Checkpoints
from trainers.errors import TrainingError


def build(width=3):
    keras.utils.set_random_seed(width)
    model = keras.Sequential(
        [keras.Input([2]), keras.layers.Dense(width), keras.layers.Dropout(0.5)]
    )
    return model, keras.optimizers.Adam(0.1)


def start(folder, **options):
    model, optimizer = build(options.pop("width", 3))
    found = Checkpoints(folder, model, optimizer, **options)
    return found, model, optimizer


def advance(model, optimizer):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.ones([1, 2]), training=True) ** 2)
    variables = model.trainable_variables
    optimizer.apply(tape.gradient(loss, variables), variables)


def values(model, optimizer):
    variables = [*model.variables, *model.non_trainable_variables, *optimizer.variables]
    return [v.numpy() for v in variables]


def run(folder, steps=5):
    """Saves after each of some steps; returns what was saved, step -> values."""
    checkpoints, model, optimizer = start(folder)
    saved = {}
    for step in range(1, steps + 1):
        advance(model, optimizer)
        checkpoints.save(step)
        saved[step] = values(model, optimizer)
    return saved


def restored(folder):
    checkpoints, model, optimizer = start(folder)
    step = checkpoints.restore()
    return step, values(model, optimizer)


def assert_same(left, right):
    assert len(left) == len(right)
    assert all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_weights_optimizer_and_dropout_seed_come_back_to_the_bit(tmp_path):
    saved = run(tmp_path)
    step, found = restored(tmp_path)
    assert step == 5
    assert_same(found, saved[5])


def test_an_empty_folder_starts_at_zero(tmp_path):
    assert restored(tmp_path)[0] == 0


def test_three_are_kept_and_a_later_process_goes_on_pruning(tmp_path):
    run(tmp_path)
    names = sorted(path.name for path in tmp_path.glob("*.index"))
    assert names == ["ckpt-3.index", "ckpt-4.index", "ckpt-5.index"]
    checkpoints, *_ = start(tmp_path)
    checkpoints.restore()
    checkpoints.save(6)
    assert not (tmp_path / "ckpt-3.index").exists()
    assert tf.train.latest_checkpoint(str(tmp_path)).endswith("ckpt-6")


def _cut(path, left):
    os.truncate(path, left)


def _flip(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


DAMAGE = {
    "data cut": lambda folder: _cut(folder / "ckpt-5.data-00000-of-00001", 40),
    "data flipped": lambda folder: _flip(folder / "ckpt-5.data-00000-of-00001"),
    "index short": lambda folder: _cut(folder / "ckpt-5.index", 10),
    "index empty": lambda folder: _cut(folder / "ckpt-5.index", 0),
    "index flipped": lambda folder: _flip(folder / "ckpt-5.index"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_one_falls_back_and_says_so(tmp_path, capsys, damage):
    saved = run(tmp_path)
    DAMAGE[damage](tmp_path)
    step, found = restored(tmp_path)
    told = capsys.readouterr().out
    assert step == 4
    assert_same(found, saved[4])
    assert "ckpt-5 is damaged" in told and "1 steps lost" in told
    assert restored(tmp_path)[0] == 4
    assert "damaged" not in capsys.readouterr().out


def test_data_without_index_and_index_without_data_do_not_count(tmp_path):
    run(tmp_path)
    os.remove(tmp_path / "ckpt-5.data-00000-of-00001")
    os.remove(tmp_path / "ckpt-4.index")
    assert restored(tmp_path)[0] == 3
    assert not list(tmp_path.glob("ckpt-[45]*"))


def test_an_index_without_data_is_told_and_kept(tmp_path, capsys):
    run(tmp_path)
    os.remove(tmp_path / "ckpt-5.data-00000-of-00001")
    assert restored(tmp_path)[0] == 4
    assert "step 5 is lost" in capsys.readouterr().out
    assert (tmp_path / "damaged-ckpt-5.index").exists()
    assert restored(tmp_path)[0] == 4
    assert "lost" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "", "model_checkpoint_path: 'x'"])
def test_a_lost_state_file_never_means_a_silent_start_over(tmp_path, content):
    run(tmp_path)
    os.remove(tmp_path / "checkpoint")
    if content is not None:
        (tmp_path / "checkpoint").write_text(content)
    assert restored(tmp_path)[0] == 5
    assert tf.train.latest_checkpoint(str(tmp_path)).endswith("ckpt-5")


def test_when_all_are_damaged_the_run_does_not_start_over(tmp_path):
    run(tmp_path)
    for path in tmp_path.glob("*.index"):
        _cut(path, 10)
    for _ in range(2):  # the first start renames them
        with pytest.raises(TrainingError, match="every checkpoint is damaged"):
            restored(tmp_path)


def test_when_all_lost_their_data_the_run_does_not_start_over(tmp_path):
    run(tmp_path)
    for path in tmp_path.glob("*.data*"):
        path.unlink()
    for _ in range(2):
        with pytest.raises(TrainingError, match="every checkpoint is damaged"):
            restored(tmp_path)


def test_another_architecture_is_told(tmp_path):
    run(tmp_path)
    checkpoints, *_ = start(tmp_path, width=4)
    with pytest.raises(TrainingError, match="another model"):
        checkpoints.restore()
    model = keras.Sequential([keras.Input([2]), keras.layers.Dense(3)])
    checkpoints = Checkpoints(tmp_path, model, keras.optimizers.Adam(0.1))
    with pytest.raises(TrainingError, match="another model"):
        checkpoints.restore()


def test_leftovers_of_a_kill_are_removed(tmp_path):
    run(tmp_path)
    (tmp_path / "ckpt-6_temp").mkdir()
    (tmp_path / "ckpt-6_temp" / "part").write_text("x")
    (tmp_path / "ckpt-6.data-00000-of-00001").write_text("x")
    (tmp_path / "checkpoint.tmp1234").write_text("x")
    (tmp_path / "notes.txt").write_text("mine")
    start(tmp_path)
    assert not list(tmp_path.glob("ckpt-6*")) + list(tmp_path.glob("checkpoint.tmp*"))
    assert (tmp_path / "notes.txt").exists()


def test_the_best_is_kept_by_its_metric_and_is_never_nan(tmp_path):
    checkpoints, model, optimizer = start(tmp_path)
    for step, psnr in enumerate([10.0, 20.0, float("nan"), 15.0], 1):
        advance(model, optimizer)
        if step == 2:
            best = values(model, optimizer)
        won = checkpoints.save_best(step, psnr, {"psnr": psnr}, "max")
        assert won == (step <= 2)
    again, model, optimizer = start(tmp_path)
    assert not again.save_best(5, 19.0, {}, "max")
    assert again.restore_best()["step"] == 2
    assert_same(values(model, optimizer), best)
    record = json.loads((tmp_path / "best" / "best.json").read_text())
    assert record["metrics"] == {"psnr": 20.0}


def _of_another_step(folder):
    record = json.loads((folder / "best.json").read_text())
    (folder / "best.json").write_text(json.dumps({**record, "step": 2}))


BEST_DAMAGE = {
    "no best.json": lambda folder: os.remove(folder / "best.json"),
    "best.json cut": lambda folder: _cut(folder / "best.json", 20),
    "best.json a list": lambda folder: (folder / "best.json").write_text("[1]"),
    "best.json of another step": _of_another_step,
    "data flipped": lambda folder: _flip(folder / "ckpt-1.data-00000-of-00001"),
    "no data": lambda folder: os.remove(folder / "ckpt-1.data-00000-of-00001"),
    "nothing": lambda folder: [os.remove(path) for path in folder.iterdir()],
}


@pytest.mark.parametrize("damage", BEST_DAMAGE)
def test_a_best_that_cannot_be_used_is_known_and_replaced(tmp_path, damage):
    checkpoints, *_ = start(tmp_path)
    assert checkpoints.save_best(1, 20.0, {"psnr": 20.0}, "max")
    assert not checkpoints.best_fault()
    BEST_DAMAGE[damage](tmp_path / "best")
    checkpoints, *_ = start(tmp_path)
    checkpoints.restore()
    assert checkpoints.best_fault()
    checkpoints.forget_best()
    assert checkpoints.save_best(3, 10.0, {"psnr": 10.0}, "max")
    assert not checkpoints.best_fault()
    again, *_ = start(tmp_path)
    assert again.restore_best()["metrics"] == {"psnr": 10.0}


def test_a_full_disk_under_best_json_is_told_once_and_kept_in_mind(
    tmp_path, capsys, monkeypatch
):
    checkpoints, *_ = start(tmp_path)

    def full(path, text):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("trainers.checkpoints.write_text", full)
    assert checkpoints.save_best(1, 1.0, {"psnr": 1.0}, "max")
    assert checkpoints.save_best(2, 2.0, {"psnr": 2.0}, "max")
    assert capsys.readouterr().out.count("No space left") == 1
    assert checkpoints.restore_best()["step"] == 2
    monkeypatch.undo()
    assert start(tmp_path)[0].save_best(3, 1.5, {}, "max")  # the best is not known
    assert "chosen anew" in capsys.readouterr().out


def test_weights_that_are_not_finite_never_replace_good_ones(tmp_path):
    saved = run(tmp_path)
    checkpoints, model, _ = start(tmp_path)
    checkpoints.restore()
    model.layers[0].kernel.assign(np.full([2, 3], np.nan))
    with pytest.raises(TrainingError, match="kernel.*ckpt-5"):
        checkpoints.save(6)
    assert_same(restored(tmp_path)[1], saved[5])


def test_a_full_disk_keeps_the_old_ones_and_stops_at_the_third_time(tmp_path, capsys):
    resource = pytest.importorskip("resource")
    saved = run(tmp_path)
    checkpoints, model, optimizer = start(tmp_path)
    checkpoints.restore()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, old[1]))
        assert not checkpoints.save(6)
        assert not checkpoints.save(7)
        with pytest.raises(TrainingError, match="failure 3 in a row"):
            checkpoints.save(8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert "bytes are free" in capsys.readouterr().out
    assert not list(tmp_path.glob("ckpt-[678]*"))
    assert checkpoints.save(9)
    os.remove(tmp_path / "ckpt-9.index")
    assert_same(restored(tmp_path)[1], saved[5])


def test_a_process_that_is_not_the_chief_leaves_no_file(tmp_path):
    checkpoints, model, optimizer = start(tmp_path, chief=False)
    advance(model, optimizer)
    assert checkpoints.save(1)
    assert os.listdir(tmp_path) == []
