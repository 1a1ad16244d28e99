"""Flags: typed, bounded, finite, and stored so that they can be given again."""

import pytest
from absl import flags as absl_flags

from trainers import flags
from trainers.flags import Settings, parse_lines


@pytest.fixture
def registry(monkeypatch):
    """A flag registry of its own, as a fresh process has it."""
    values = absl_flags.FlagValues()
    monkeypatch.setattr(flags.flags, "FLAGS", values)
    for name in ("DEFINE_string", "DEFINE_integer", "DEFINE_bool", "DEFINE_enum"):
        original = getattr(absl_flags, name)
        monkeypatch.setattr(
            flags.flags,
            name,
            lambda *args, original=original: original(*args, flag_values=values),
        )
    monkeypatch.setattr(
        flags.flags,
        "DEFINE",
        lambda *args, original=absl_flags.DEFINE, **options: original(
            *args, flag_values=values, **options
        ),
    )
    for name in ("mark_flag_as_required", "register_validator"):
        original = getattr(absl_flags, name)
        monkeypatch.setattr(
            flags.flags,
            name,
            lambda *args, original=original, **options: original(
                *args, flag_values=values, **options
            ),
        )
    flags.define(steps=77)
    return values


def parse(registry, *arguments):
    registry(["program", *arguments])
    return Settings.from_flags()


def test_a_trainer_sets_its_own_defaults(registry):
    settings = parse(registry, "--output_dir=out")
    assert settings.steps == 77
    flags.define(steps=5, batch_size=3)
    assert parse(registry, "--output_dir=out").steps == 5


def test_every_field_of_the_settings_is_a_flag_with_the_same_default(registry):
    found = parse(registry, "--output_dir=out")
    expected = Settings("", "out", steps=77)
    assert found.texts() == expected.texts()


@pytest.mark.parametrize(
    "argument",
    [
        "--learning_rate=nan",
        "--learning_rate=inf",
        "--learning_rate=-1",
        "--checkpoint_minutes=-1",
        "--steps=0",
        "--batch_size=x",
        "--strategy=tpu",
        "--mixed_precision=int4",
        "--lerning_rate=1",
        "--data_dir=data # the data",
        '--output_dir="out"',
    ],
)
def test_bad_values_are_refused_by_the_parser(registry, argument):
    with pytest.raises(absl_flags.Error):
        parse(registry, "--output_dir=out", argument)


def test_an_output_dir_is_required(registry):
    with pytest.raises(absl_flags.IllegalFlagValueError, match="output_dir"):
        parse(registry)


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"learning_rate": float("nan")},
        {"batch_size": -1},
        {"seed": 2**31},
        {"strategy": "tpu"},
        {"export": "all"},
        {"output_dir": ""},
    ],
)
def test_settings_made_by_hand_are_checked_too(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Settings(**{"data_dir": "d", "output_dir": "o", **change})


def test_stored_lines_are_a_flag_file_that_gives_the_same_settings(registry, tmp_path):
    registry["data_dir"].value = ""
    first = parse(
        registry, "--output_dir=o", "--learning_rate=0.00031", "--noresume", "--seed=5"
    )
    path = tmp_path / "flags.cfg"
    path.write_text("\n".join(first.lines()) + "\n")
    registry.unparse_flags()
    assert parse(registry, f"--flagfile={path}") == first
    assert parse_lines(path.read_text().splitlines()) == first.texts()


def test_what_may_and_what_may_not_change_in_a_continued_run():
    old = Settings("d", "o", preset="tiny", own={"crop": "32"})
    stored = parse_lines(old.lines())
    new = Settings("d", "o", steps=5, eval_every=3, strategy="one", own={"crop": "32"})
    assert new.differences(stored) == []
    assert new.changes(stored) == ["--steps: was 1000, now 5"]
    other = Settings("e", "o", preset="small", batch_size=2, own={"crop": "64"})
    assert other.differences(stored) == [
        "--batch_size: was 8, now 2",
        "--crop: was 32, now 64",
        "--data_dir: was d, now e",
        "--preset: was tiny, now small",
    ]
    assert Settings("./d", "o", own={"crop": "32"}).differences(stored) == []
