"""The README's claims that a program can check."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "docs", "configs/README.md")


def pages():
    """Markdown files of the documentation."""
    for name in PAGES:
        path = ROOT / name
        yield from sorted(path.glob("*.md")) if path.is_dir() else [path]


def test_the_example_of_the_readme_runs(tmp_path, monkeypatch):
    (example,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S
    )
    monkeypatch.chdir(ROOT)
    code = example.replace('"car.png"', repr(str(tmp_path / "car.png")))
    assert len(code.strip().splitlines()) <= 20
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "car.png").stat().st_size > 1000


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.name)
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", pages(), ids=lambda path: path.name)
def test_every_program_that_a_page_names_exists(page):
    for module in re.findall(r"python -m ((?:tools|trainers)\.\w+)", page.read_text()):
        assert (ROOT / (module.replace(".", "/") + ".py")).exists(), module
