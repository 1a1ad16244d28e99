"""Claims of tools.import_config; those of each system stand beside its module."""

from tests.tools import programs
from tests.tools.test_rendernet_config import write
from tools import import_config


def test_the_program_writes_a_flag_file_or_prints_it(tmp_path, capsys):
    flags = {"config": write(tmp_path), "preset": "tiny", "system": "auto", "set": []}
    programs.run_inside(import_config, **flags, output=None)
    printed = capsys.readouterr().out
    assert "--preset=tiny" in printed.splitlines()
    programs.run_inside(import_config, **flags, output=str(tmp_path / "a/x.cfg"))
    assert (tmp_path / "a/x.cfg").read_text() == printed


def test_a_mistake_is_one_line_and_leaves_no_file(tmp_path):
    path = write(tmp_path, change={"bacth_size": 1})
    done = programs.launch(
        "tools.import_config", f"--config={path}", f"--output={tmp_path}/x.cfg"
    )
    assert "did you mean 'batch_size'" in programs.last_error(done)
    assert [p.name for p in tmp_path.iterdir()] == ["config.json"]
