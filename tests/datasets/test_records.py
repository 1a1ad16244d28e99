"""Records: every record once an epoch, any start, and each fault named."""

import itertools
import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf

from datasets import records
from tfrender.io.errors import FormatError

SCHEMA = records.Schema("numbers", 2)
COUNT = 53


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write(tmp_path_factory.mktemp("data"))


def write(folder, count=COUNT, **options):
    with records.RecordWriter(folder, "train", 7, SCHEMA, **options) as writer:
        for i in range(count):
            writer.write(str(i).encode())
    return str(folder)


def take(folder, count, start=0, **options):
    stream = records.record_stream(
        folder, "train", options.pop("seed", 3), start, **options
    )
    return [int(x) for x in itertools.islice(stream.as_numpy_iterator(), count)]


def shard(folder, number):
    return records.read_split(folder, "train").shards[number].path


class TestWriter:
    def test_sidecar_tells_counts_schema_and_metadata(self, tmp_path):
        write(tmp_path, metadata={"objects": ["a", "b"]})
        found = records.read_split(tmp_path, "train", SCHEMA)
        assert found.records == COUNT
        assert found.schema == SCHEMA
        assert found.metadata == {"objects": ["a", "b"]}
        assert sorted(s.records for s in found.shards) == [6, 6, 6, 7, 7, 7, 7, 7]
        assert os.path.basename(found.shards[1].path) == "train-00001-of-00008.tfrecord"
        assert records.verify_shards(tmp_path, "train") == COUNT
        assert records.splits(tmp_path) == ["train"]

    def test_each_shard_is_a_mix_of_the_whole_split(self, folder):
        for found in records.read_split(folder, "train").shards:
            values = [int(r.numpy()) for r in tf.data.TFRecordDataset(found.path)]
            assert min(values) < COUNT / 2 < max(values)

    def test_an_exception_leaves_no_file(self, tmp_path):
        with pytest.raises(KeyError):
            with records.RecordWriter(tmp_path, "train", 7, SCHEMA) as writer:
                writer.write(b"1")
                raise KeyError
        assert os.listdir(tmp_path) == []

    def test_nothing_is_visible_before_the_end(self, tmp_path):
        writer = records.RecordWriter(tmp_path, "train", 7, SCHEMA)
        writer.write(b"1")
        assert records.splits(tmp_path) == []
        writer.close()
        assert records.splits(tmp_path) == ["train"]
        assert len(os.listdir(tmp_path)) == 2

    def test_no_record_at_all_is_refused(self, tmp_path):
        with pytest.raises(ValueError, match="no record"):
            records.RecordWriter(tmp_path, "train", 7, SCHEMA).close()
        assert os.listdir(tmp_path) == []

    def test_a_finished_split_is_replaced_only_when_asked(self, tmp_path):
        write(tmp_path)
        with pytest.raises(ValueError, match="exists"):
            write(tmp_path)
        before = records.fingerprint(tmp_path)
        write(tmp_path, count=9, overwrite=True)
        assert records.read_split(tmp_path, "train").records == 9
        assert len(os.listdir(tmp_path)) == 3
        assert records.fingerprint(tmp_path) != before

    @pytest.mark.parametrize("text", ["", "{}", "[1", '{"format": "other"}'])
    def test_a_split_with_a_broken_sidecar_can_be_replaced(self, tmp_path, text):
        write(tmp_path)
        (tmp_path / "train.json").write_text(text)
        (tmp_path / "train-notes.tfrecord").write_text("mine")
        with pytest.raises(ValueError, match="exists"):
            write(tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            told = []
            patch.setattr(
                records.logging, "warning", lambda *a: told.append(a[0] % a[1])
            )
            write(tmp_path, count=9, overwrite=True)
        assert len(told) == 1 and "train.json" in told[0] and "replaced" in told[0]
        assert records.verify_shards(tmp_path, "train") == 9
        assert len(os.listdir(tmp_path)) == 4  # two shards, the sidecar, the notes

    def test_what_a_killed_writer_left_is_removed_at_the_next_start(self, tmp_path):
        code = (
            "import os, sys; from datasets import records;"
            "writer = records.RecordWriter(sys.argv[1], 'train', 7, ('numbers', 2));"
            "writer.write(b'1'); os.kill(os.getpid(), 9)"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
        assert done.returncode == -9
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(".train.tmp-")
        alive = tmp_path / f".train.tmp-{os.getppid()}"
        alive.mkdir()
        write(tmp_path)
        assert not left.exists() and alive.exists()

    def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(self, tmp_path):
        resource = pytest.importorskip("resource")
        old = resource.getrlimit(resource.RLIMIT_FSIZE)
        writer = records.RecordWriter(tmp_path, "train", 7, SCHEMA)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
            with pytest.raises(OSError, match="cannot write split") as error:
                for _ in range(100):
                    writer.write(bytes(50))
                writer.close()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
        assert "\n" not in str(error.value)
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize("name", ["", "a-b", "../x"])
    def test_split_names_stay_inside_the_folder(self, tmp_path, name):
        with pytest.raises(ValueError, match="`split`"):
            records.RecordWriter(tmp_path, name, 7, SCHEMA)


class TestStream:
    def test_every_epoch_holds_every_record_once(self, folder):
        values = take(folder, 4 * COUNT)
        epochs = [values[i * COUNT : (i + 1) * COUNT] for i in range(4)]
        assert all(sorted(epoch) == list(range(COUNT)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == 4

    @pytest.mark.parametrize("mix", [1, 3, 8, 100])
    def test_a_later_start_gives_the_tail_of_the_stream(self, folder, mix):
        whole = take(folder, 3 * COUNT + 9, mix=mix)
        for start in (1, 6, 29, COUNT - 1, COUNT, COUNT + 1, 2 * COUNT + 30):
            assert take(folder, 9, start, mix=mix) == whole[start : start + 9]

    def test_the_seed_decides_the_order(self, folder):
        assert take(folder, COUNT) == take(folder, COUNT)
        assert take(folder, COUNT) != take(folder, COUNT, seed=4)

    def test_neighbours_in_a_group_come_from_several_shards(self, folder):
        homes = {}
        for number, found in enumerate(records.read_split(folder, "train").shards):
            for record in tf.data.TFRecordDataset(found.path):
                homes[int(record.numpy())] = number
        first = [homes[value] for value in take(folder, 12, mix=4)]
        assert len(set(first)) >= 3

    def test_one_pass_in_the_order_of_the_files_is_finite_and_counted(self, folder):
        stream = records.record_stream(folder, "train", shuffle=False, cycle=False)
        values = [int(x) for x in stream.as_numpy_iterator()]
        assert int(stream.cardinality()) == COUNT
        assert sorted(values) == list(range(COUNT))
        tail = take(folder, 99, 40, shuffle=False, cycle=False)
        assert tail == values[40:]

    def test_a_far_start_is_reached_by_arithmetic(self, folder):
        # A million epochs in: skipping records would take minutes.
        assert len(take(folder, 5, 10**6 * COUNT + 17)) == 5

    def test_a_single_record_cycles(self, tmp_path):
        write(tmp_path, count=1)
        assert take(str(tmp_path), 3) == [0, 0, 0]

    @pytest.mark.parametrize("compression", ["GZIP", "ZLIB"])
    def test_compressed_shards_read_alike(self, folder, tmp_path, compression):
        write(tmp_path, compression=compression)
        assert take(str(tmp_path), 60) == take(folder, 60)

    def test_bad_arguments_are_named(self, folder):
        with pytest.raises(ValueError, match="`start`"):
            take(folder, 1, COUNT + 1, cycle=False)
        with pytest.raises(ValueError, match="`seed`"):
            take(folder, 1, seed=-1)


class TestFaults:
    def test_a_missing_split_lists_what_is_there(self, folder):
        with pytest.raises(FileNotFoundError, match=r"test\.json.*train"):
            records.read_split(folder, "test")

    def test_another_schema_is_refused(self, folder):
        with pytest.raises(FormatError, match=r"version 3, found numbers version 2"):
            records.record_stream(folder, "train", schema=records.Schema("numbers", 3))

    def test_a_missing_shard_is_named(self, tmp_path):
        path = shard(write(tmp_path), 3)
        os.remove(path)
        with pytest.raises(FileNotFoundError, match="train-00003-of-00008"):
            records.record_stream(tmp_path, "train")

    def test_a_cut_shard_is_named_before_anything_is_read(self, tmp_path):
        path = shard(write(tmp_path), 2)
        os.truncate(path, os.path.getsize(path) - 1)
        with pytest.raises(FormatError, match="train-00002-of-00008.*bytes"):
            records.record_stream(tmp_path, "train")

    def test_a_flipped_bit_is_named_while_training(self, tmp_path):
        path = shard(write(tmp_path), 5)
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) - 6)
            file.write(b"\xff")
        stream = records.record_stream(tmp_path, "train")
        with pytest.raises(FormatError, match="train-00005-of-00008.*damaged"):
            with records.naming_errors(tmp_path):
                list(itertools.islice(stream, COUNT))
        with pytest.raises(FormatError, match="train-00005-of-00008.*record"):
            records.verify_shards(tmp_path, "train")

    def test_a_shard_with_fewer_records_is_noticed_while_reading(self, tmp_path):
        path = shard(write(tmp_path), 0)
        kept = [r.numpy() for r in tf.data.TFRecordDataset(path)][:-1]
        stream = records.record_stream(tmp_path, "train")
        with tf.io.TFRecordWriter(path) as writer:
            for record in kept:
                writer.write(record)
        with pytest.raises(tf.errors.InvalidArgumentError, match="changed while"):
            list(itertools.islice(stream, COUNT))

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text[:-20],
            lambda text: "",
            lambda text: "[]",
            lambda text: json.dumps({**json.loads(text), "records": 54}),
            lambda text: json.dumps({**json.loads(text), "format": "other"}),
            lambda text: json.dumps({**json.loads(text), "shards": [{"file": "../x"}]}),
            lambda text: json.dumps({**json.loads(text), "schema": {}}),
        ],
    )
    def test_a_broken_sidecar_is_one_line_that_names_it(self, tmp_path, change):
        path = tmp_path / "train.json"
        write(tmp_path)
        path.write_text(change(path.read_text()))
        with pytest.raises(FormatError, match=r"train\.json") as error:
            records.record_stream(tmp_path, "train")
        assert "\n" not in str(error.value)

    def test_an_empty_split_is_refused(self, tmp_path):
        path = tmp_path / "train.json"
        write(tmp_path)
        text = {**json.loads(path.read_text()), "records": 0, "shards": []}
        path.write_text(json.dumps(text))
        with pytest.raises(FormatError, match="no record"):
            records.record_stream(tmp_path, "train")
