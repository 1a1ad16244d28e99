"""Claims of tools.cli."""

import pytest

from tools import cli


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.gif").mkdir()
    return tmp_path


@pytest.mark.parametrize("label", [None, "--out"])
@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("a.png", ValueError, "ends in .gif or .mp4; got '.*a.png'"),
        ("file/a.gif", NotADirectoryError, "is a file; expected a folder"),
        ("folder.gif", IsADirectoryError, "expected a file; .*folder.gif is a folder"),
        ("none/a.gif", FileNotFoundError, "there is no folder .*none"),
        ("/proc/a.gif", PermissionError, "cannot write into /proc"),
    ],
)
def test_files_that_cannot_be_written_are_refused(folder, label, name, error, words):
    begin = label or str(folder / name)
    with pytest.raises(error, match=f"^{begin}: .*{words}"):
        cli.check_output_file(folder / name, (".gif", ".mp4"), label)


def test_folders_may_be_missing_where_they_can_be_made(folder):
    before = sorted(folder.rglob("*"))
    cli.check_output_file(folder / "a.GIF", (".gif",))
    cli.check_output_file(folder / "new/a.gif", (".gif",), make_folder=True)
    cli.check_output_folder(folder / "new/deep", "--out")
    cli.check_output_folder(folder)
    assert sorted(folder.rglob("*")) == before
    for name in ("file", "file/new"):
        with pytest.raises(NotADirectoryError, match="^--out: .*file is a file"):
            cli.check_output_folder(folder / name, "--out")
    with pytest.raises(PermissionError, match="cannot write into /proc"):
        cli.check_output_folder("/proc/new/deep")
