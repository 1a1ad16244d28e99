"""The flags that all trainers share, and the settings record made from them.

A trainer calls `define` once at import, with its own defaults, and adds its own flags
with plain absl; the loop writes all of them to OUTPUT_DIR/flags.cfg.
"""

import dataclasses
import math
import os
import sys
from collections.abc import Mapping

from absl import flags

from tfrender import checks

STRATEGIES = ("auto", "one", "mirrored", "multiworker")
PRECISIONS = ("none", "bfloat16", "float16")
EXPORTS = ("last", "best", "none")

# May differ between a run and its continuation: they steer the run, or make it longer.
_FREE = frozenset(
    "output_dir steps learning_rate resume overwrite strategy logical_devices "
    "checkpoint_minutes eval_every eval_batch_size export log_every log_images_every "
    "deterministic".split()
)
# How to begin, not what to run: a stored --overwrite=true would delete the run that it
# describes when flags.cfg is given as a flag file again.
_NOT_STORED = ("resume", "overwrite")
_UNSET = "(unset)"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the loop needs to know; one field a shared flag, same name.

    `own` holds the trainer's own flags as text; the loop only stores and compares them.
    """

    data_dir: str
    output_dir: str
    preset: str = "tiny"
    batch_size: int = 8
    steps: int = 1000
    learning_rate: float = 1e-4
    ema: float = 0.0
    seed: int = 0
    resume: bool = True
    overwrite: bool = False
    strategy: str = "auto"
    logical_devices: int = 0
    mixed_precision: str = "none"
    deterministic: bool = False
    checkpoint_minutes: float = 10.0
    eval_every: int = 0
    eval_batch_size: int = 0
    log_every: int = 10
    log_images_every: int = 0
    export: str = "last"
    own: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for name in ("batch_size", "steps", "log_every"):
            checks.between(name, getattr(self, name), 1, 2**62)
        for name in ("eval_every", "eval_batch_size", "log_images_every"):
            checks.between(name, getattr(self, name), 0, 2**62)
        checks.between("logical_devices", self.logical_devices, 0, 64)
        checks.between("seed", self.seed, 0, 2**31 - 1)
        checks.between("learning_rate", self.learning_rate, 0.0, 1e6)
        checks.between("ema", self.ema, 0.0, 0.999999)
        checks.between("checkpoint_minutes", self.checkpoint_minutes, 0.0, 1e6)
        checks.one_of("strategy", self.strategy, STRATEGIES)
        checks.one_of("mixed_precision", self.mixed_precision, PRECISIONS)
        checks.one_of("export", self.export, EXPORTS)
        if not self.output_dir:
            raise ValueError("`output_dir` must name a folder; got ''.")

    @classmethod
    def from_flags(cls) -> "Settings":
        """Reads the parsed absl flags."""
        shared = [
            field.name for field in dataclasses.fields(cls) if field.name != "own"
        ]
        values = {name: flags.FLAGS[name].value for name in shared}
        return cls(**values, own=_own_flags(frozenset(shared)))

    def check_preset_and_data(self, presets) -> None:
        """Refuses a preset that a system has not, and a run without a data set.

        Args:
            presets: names of the system's presets.

        Raises:
            ValueError: naming the flag.
        """
        if self.preset not in presets:
            raise ValueError(
                f"--preset: expected one of {list(presets)}; got {self.preset!r}."
            )
        if not self.data_dir:
            raise ValueError("--data_dir: expected a folder of records; got none.")

    def texts(self) -> dict[str, str]:
        """Every flag as text, the trainer's own ones last."""
        shared = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "own":
                text = str(value).lower() if isinstance(value, bool) else str(value)
                shared[field.name] = text
        return {**shared, **self.own}

    def lines(self) -> list[str]:
        """The flags as lines of a flag file that starts or continues the same run."""
        return [
            f"--{name}={text}"
            for name, text in self.texts().items()
            if name not in _NOT_STORED
        ]

    def differences(self, stored: Mapping[str, str]) -> list[str]:
        """Flags in which a stored run differs so that it cannot be continued.

        Args:
            stored: flag name -> text, as `parse_lines` returns it.

        Returns:
            one text for each, naming both values; empty when the run may continue.
        """
        return _compare(stored, self.texts(), lambda name: name not in _FREE)

    def changes(self, stored: Mapping[str, str]) -> list[str]:
        """Flags that differ from a stored run and may do so, but change the result."""
        return _compare(stored, self.texts(), {"steps", "learning_rate"}.__contains__)


def parse_lines(lines: list[str]) -> dict[str, str]:
    """Flag name -> text from the lines of a flags.cfg."""
    pairs = (line.strip()[2:].split("=", 1) for line in lines if line.startswith("--"))
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def define(**defaults) -> None:
    """Defines the shared flags; a second trainer in one process sets its defaults.

    Args:
        **defaults: flag name -> this trainer's default.
    """
    if "checkpoint_minutes" not in flags.FLAGS:
        _define()
    for name, value in defaults.items():
        flags.FLAGS.set_default(name, value)


class FiniteFloatParser(flags.FloatParser):
    """Float flag that refuses nan and inf, which absl lets through every bound."""

    def convert(self, argument):
        """The number, or ValueError."""
        value = super().convert(argument)
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number, got {argument!r}")
        return value


def refuse_both(*pairs: tuple[str, str]) -> None:
    """Refuses two flags for one thing when the user gave both.

    Args:
        *pairs: names of flags of which one resolves the other.

    Raises:
        ValueError: naming both flags of the first such pair.
    """
    for first, second in pairs:
        if flags.FLAGS[first].present and flags.FLAGS[second].present:
            raise ValueError(
                f"--{first} and --{second}: expected one of the two; got both."
            )


def define_finite(
    name: str,
    default: float | None,
    help_text: str,
    low: float | None = None,
    high: float | None = None,
) -> flags.FlagHolder:
    """Defines a float flag that must be finite and lie in [low, high]."""
    parser = FiniteFloatParser(low, high)
    return flags.DEFINE(
        parser, name, default, help_text, serializer=flags.ArgumentSerializer()
    )


def _define() -> None:
    f = flags
    f.DEFINE_string("data_dir", "", "Folder of the data set.")
    f.DEFINE_string("output_dir", None, "Folder of this run: checkpoints, log, export.")
    f.DEFINE_string("preset", "tiny", "Size of the model: a preset of its class.")
    f.DEFINE_integer("batch_size", 8, "Examples a step, all devices together.", 1)
    f.DEFINE_integer("steps", 1000, "Steps in all, those before a resume included.", 1)
    define_finite("learning_rate", 1e-4, "First learning rate.", 0.0, 1e6)
    define_finite(
        "ema", 0.0, "Share of the old running average of the weights; 0: none.", 0, 1
    )
    f.DEFINE_integer("seed", 0, "Of weights, order and dropout.", 0, 2**31 - 1)
    f.DEFINE_bool("resume", True, "Continue the run found in output_dir.")
    f.DEFINE_bool("overwrite", False, "Delete the run found in output_dir.")
    f.DEFINE_enum("strategy", "auto", STRATEGIES, "Devices that share a batch.")
    f.DEFINE_integer("logical_devices", 0, "Split the CPU (tests).", 0, 64)
    f.DEFINE_enum("mixed_precision", "none", PRECISIONS, "Type of activations.")
    f.DEFINE_bool("deterministic", False, "Same bits in every run; slower.")
    define_finite("checkpoint_minutes", 10.0, "Time between saves; 0: each step.", 0.0)
    f.DEFINE_integer("eval_every", 0, "Steps between evaluations; 0: at the end.", 0)
    f.DEFINE_integer("eval_batch_size", 0, "0: as batch_size.", 0)
    f.DEFINE_integer("log_every", 10, "Steps between lines of the log.", 1)
    f.DEFINE_integer("log_images_every", 0, "Steps between pictures; 0: at the end.", 0)
    f.DEFINE_enum("export", "last", EXPORTS, "Weights written to saved_model/.")
    f.mark_flag_as_required("output_dir")
    for name in ("data_dir", "output_dir"):
        # A flag file has no trailing comments and keeps quotes: `x # note` is a path.
        f.register_validator(
            name,
            lambda path: not path or not set(path) & set("#\"'\n"),
            message="a path without #, quotes and line ends is expected",
        )


def _own_flags(shared: frozenset[str]) -> dict[str, str]:
    """Flags that the running trainer defined beside the shared ones, as text."""
    own = {}
    for module, entries in flags.FLAGS.flags_by_module_dict().items():
        short = os.path.splitext(os.path.basename(module))[0]
        program = os.path.splitext(os.path.basename(sys.argv[0]))[0]
        if module.startswith("trainers.") or short == program or module == "__main__":
            for flag in entries:
                # An alias repeats the value of the flag that it stands for.
                alias = (flag.help or "").startswith("Alias for --")
                if flag.name not in shared and flag.value is not None and not alias:
                    own[flag.name] = _text(flag, flag.value)
    return own


def _text(flag: flags.Flag, value) -> str:
    """A value of a flag as a flag file has it."""
    return str(value).lower() if flag.boolean else flag.serializer.serialize(value)


def _default(name: str) -> str:
    """What a run had that was stored before the program knew this flag."""
    flag = flags.FLAGS[name] if name in flags.FLAGS else None
    if flag is None or flag.default is None:
        return _UNSET
    return _text(flag, flag.default)


def _compare(stored, texts, counts) -> list[str]:
    found = []
    for name in sorted(set(stored) | set(texts)):
        was = stored[name] if name in stored else _default(name)
        now = texts.get(name, _UNSET)
        same = was == now
        if name == "data_dir":
            same = os.path.realpath(was) == os.path.realpath(now)
        if counts(name) and not same:
            found.append(f"--{name}: was {was}, now {now}")
    return found
