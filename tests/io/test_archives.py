"""Claims of tfrender.io.archives; rows of the fault table as parameters."""

import gzip
import io as bytes_io
import os
import tarfile

import pytest

from tfrender import io

FILES = {"b.txt": b"two", "a/x.bin": bytes(range(256)) * 9, "ä" * 80 + ".png": b""}


def member(name, data=b"x", kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, link, len(data)
    return info, data


def archive(*members, compress=False, form=tarfile.PAX_FORMAT):
    out = bytes_io.BytesIO()
    mode = "w:gz" if compress else "w"
    with tarfile.open(fileobj=out, mode=mode, format=form) as tar:
        for info, data in members:
            tar.addfile(info, bytes_io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def put(tmp_path):
    def write(data):
        (tmp_path / "x.tar").write_bytes(data)
        return tmp_path / "x.tar"

    return write


@pytest.mark.parametrize("compress", [False, True])
def test_files_survive_sorted_and_the_bytes_are_reproducible(tmp_path, compress):
    path = tmp_path / "x.tar"
    io.write_tar(path, FILES, compress)
    first = path.read_bytes()
    assert (first[:2] == b"\x1f\x8b") == compress
    assert list(io.iter_tar(path)) == sorted(FILES.items())
    (tmp_path / "b").write_bytes(b"two")
    again = {**dict(reversed(FILES.items())), "b.txt": tmp_path / "b"}
    io.write_tar(path, again, compress)
    assert path.read_bytes() == first


@pytest.mark.parametrize("compress", [False, True])
def test_extraction_makes_the_folder_at_once(tmp_path, compress):
    io.write_tar(tmp_path / "x.tar", FILES, compress)
    assert io.extract_tar(tmp_path / "x.tar", tmp_path / "out") == len(FILES)
    for name, data in FILES.items():
        assert (tmp_path / "out" / name).read_bytes() == data
    with pytest.raises(FileExistsError):
        io.extract_tar(tmp_path / "x.tar", tmp_path / "out")


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_folders_dots_and_long_names_are_fine(put, tmp_path, form):
    name = "d/" + "n" * 150
    members = [
        member(".", b"", tarfile.DIRTYPE),
        member("./d", b"", tarfile.DIRTYPE),
        member("./" + name),
        member("e//f"),
    ]
    path = put(archive(*members, form=form))
    assert list(io.iter_tar(path)) == [(name, b"x"), ("e/f", b"x")]
    assert io.extract_tar(path, tmp_path / "out") == 2
    assert oct((tmp_path / "out" / name).stat().st_mode & 0o111) == "0o0"


ESCAPES = {
    "parent": [member("../escape")],
    "inner parent": [member("a/../../escape")],
    "harmless parent": [member("a/../b")],
    "absolute": [member("/tmp/escape")],
    "drive": [member("C:/escape")],
    "backslash": [member("..\\escape")],
    "empty name": [member("")],
    "dot": [member(".")],
    "symlink": [member("l", b"", tarfile.SYMTYPE, ".."), member("l/escape")],
    "hard link": [member("a"), member("l", b"", tarfile.LNKTYPE, "a")],
    "device": [member("d", b"", tarfile.CHRTYPE)],
    "fifo": [member("d", b"", tarfile.FIFOTYPE)],
    "sparse": [member("d", b"", tarfile.GNUTYPE_SPARSE)],
    "twice": [member("a"), member("b"), member("a")],
    "twice by dot": [member("a"), member("./a")],
    "below a file": [member("a"), member("a/b")],
    "file over folder": [member("a/b"), member("a")],
}


@pytest.mark.parametrize("name", ESCAPES)
def test_dangerous_members_refuse_the_whole_archive(put, tmp_path, name):
    path = put(archive(member("first"), *ESCAPES[name]))
    with pytest.raises(io.FormatError, match=r"x\.tar: "):
        io.extract_tar(path, tmp_path / "deep" / "out")
    assert os.listdir(tmp_path / "deep") == []
    assert sorted(os.listdir(tmp_path)) == ["deep", "x.tar"]
    if name != "file over folder":
        with pytest.raises(io.FormatError):
            list(io.iter_tar(path))


GOOD = archive(member("a", b"1" * 600), member("b", b"2" * 600))


def broken_sum(data, block):
    spoilt = bytearray(data)
    spoilt[512 * block] ^= 1
    return bytes(spoilt)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"junk" * 500,
        GOOD[:700],
        GOOD[: 512 * 3],
        GOOD[: 512 * 3 + 100],
        GOOD[: 512 * 6],
        broken_sum(GOOD, 0),
        broken_sum(GOOD, 3),
        gzip.compress(GOOD)[:-9],
        gzip.compress(GOOD)[: len(gzip.compress(GOOD)) // 2],
        gzip.compress(GOOD)[:-6] + b"\0" * 6,
        b"\x1f\x8b",
        b"BZh91AY&SY",
    ],
    ids="empty junk in-data at-header in-header no-end sum first-sum gz-cut gz-half "
    "gz-crc gz-head bzip2".split(),
)
def test_truncated_and_spoilt_archives_are_refused_and_leave_nothing(
    put, tmp_path, data
):
    path = put(data)
    with pytest.raises(io.FormatError, match=r"x\.tar: "):
        list(io.iter_tar(path))
    with pytest.raises(io.FormatError, match=r"x\.tar: "):
        io.extract_tar(path, tmp_path / "out")
    assert os.listdir(tmp_path) == ["x.tar"]


def test_limits_hold_while_reading(put, tmp_path):
    many = put(archive(*(member(str(k)) for k in range(50))))
    with pytest.raises(io.LimitError, match="49 members"):
        list(io.iter_tar(many, max_members=49))
    assert len(list(io.iter_tar(many, max_members=50))) == 50
    with pytest.raises(io.LimitError, match="unpacked bytes"):
        list(io.iter_tar(many, max_bytes=9000))
    with pytest.raises(io.LimitError, match="in a member"):
        list(io.iter_tar(put(GOOD), max_member_bytes=599))
    with pytest.raises(io.LimitError):
        io.extract_tar(put(GOOD), tmp_path / "out", max_bytes=1000)
    assert not (tmp_path / "out").exists()


def test_a_gzip_bomb_stops_at_the_ratio(put):
    bomb = archive(member("a", bytes(2**24)), compress=True)
    with pytest.raises(io.LimitError, match="ratio"):
        list(io.iter_tar(put(bomb)))
    assert len(list(io.iter_tar(put(bomb), max_ratio=2000))) == 1


def test_a_header_that_announces_gigabytes_stops_at_the_limit(put):
    """The name of a GNU long-name member is read whole by tarfile."""
    info, _ = member("././@LongLink", b"", tarfile.GNUTYPE_LONGNAME)
    info.size = 2**34
    header = info.tobuf(tarfile.GNU_FORMAT)
    bomb = gzip.compress(header + bytes(2**25))
    with pytest.raises(io.LimitError):
        list(io.iter_tar(put(bomb)))


def test_a_missing_archive_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(io.iter_tar(tmp_path / "none.tar"))


@pytest.mark.parametrize("name", ["../a", "/a", "a\\b", "", "a/../b"])
def test_the_writer_refuses_names_that_no_reader_takes(tmp_path, name):
    with pytest.raises(ValueError):
        io.write_tar(tmp_path / "x.tar", {name: b""})
    with pytest.raises(FileNotFoundError):
        io.write_tar(tmp_path / "x.tar", {"a": tmp_path / "none"})
    assert not os.listdir(tmp_path)
