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
    first = parse(registry, "--output_dir=o", "--learning_rate=0.00031", "--seed=5")
    path = tmp_path / "flags.cfg"
    path.write_text("\n".join(first.lines()) + "\n")
    registry.unparse_flags()
    assert parse(registry, f"--flagfile={path}") == first
    stored = parse_lines(path.read_text().splitlines())
    assert stored == {
        name: text
        for name, text in first.texts().items()
        if name not in ("resume", "overwrite")
    }


def test_stored_lines_given_again_do_not_delete_the_run(registry, tmp_path):
    first = parse(registry, "--output_dir=o", "--overwrite", "--noresume")
    assert first.overwrite and not first.resume
    path = tmp_path / "flags.cfg"
    path.write_text("\n".join(first.lines()) + "\n")
    registry.unparse_flags()
    for name in registry:
        registry[name].unparse()
    again = parse(registry, f"--flagfile={path}")
    assert again.resume and not again.overwrite
    assert again.differences(parse_lines(first.lines())) == []


def test_a_flag_that_a_stored_run_did_not_know_counts_as_its_default(registry):
    absl_flags.DEFINE_list("crops", ["32", "64"], "", flag_values=registry)
    absl_flags.DEFINE_bool("compile", True, "")
    absl_flags.DEFINE_integer("gpu", None, "")
    registry(["program", "--output_dir=o"])
    settings = Settings.from_flags()
    stored = settings.texts()
    del stored["mixed_precision"]
    usual = {"crops": "32,64", "compile": "true"}
    new = Settings("", "o", steps=settings.steps, own=usual)
    assert new.differences(stored) == []
    other = {"crops": "16", "compile": "false", "gpu": "1"}
    new = Settings("", "o", mixed_precision="float16", own=other)
    assert new.differences(stored) == [
        "--compile: was true, now false",
        "--crops: was 32,64, now 16",
        "--gpu: was (unset), now 1",
        "--mixed_precision: was none, now float16",
    ]


def test_two_flags_for_one_thing_are_refused_when_both_are_given(registry, tmp_path):
    absl_flags.DEFINE_integer("max_epochs", None, "")
    parse(registry, "--output_dir=o", "--steps=5")
    flags.refuse_both(("max_epochs", "steps"))
    path = tmp_path / "mine.cfg"
    path.write_text("--max_epochs=3\n")
    with pytest.raises(ValueError, match="--max_epochs and --steps: .* got both"):
        parse(registry, f"--flagfile={path}")
        flags.refuse_both(("max_epochs", "steps"))


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
