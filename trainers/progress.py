"""What a user sees while training: a bar on a terminal, lines elsewhere."""

import shutil
import sys
import time

_LINE_SECONDS = 10.0  # between lines where there is no terminal
_BAR_SECONDS = 0.2


class Progress:
    """Prints step, loss, metrics, examples/s, time left and the wait for data."""

    def __init__(self, name: str, last: int, stream=None):
        """Prints nothing yet.

        Args:
            name: of the run.
            last: steps in all.
            stream: text file; None is standard output.
        """
        self._name, self._last = name, last
        self._stream = stream or sys.stdout
        self._terminal = self._stream.isatty()
        self._shown = 0.0
        self._length = 0

    def show(self, step: int, values: dict[str, float], clock: "Clock") -> None:
        """Shows the state after a step, unless it was shown a moment ago.

        Args:
            step: steps done.
            values: loss and metrics.
            clock: gives examples/s, the wait for data and the time left.
        """
        now = time.monotonic()
        pause = _BAR_SECONDS if self._terminal else _LINE_SECONDS
        if now - self._shown < pause and step != self._last:
            return
        self._shown = now
        self._print(self._text(step, values, clock))

    def note(self, text: str) -> None:
        """Prints a line of its own."""
        if self._terminal and self._length:
            self._stream.write("\r" + " " * self._length + "\r")
            self._length = 0
        self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Ends the bar, so that what follows starts on a fresh line."""
        if self._terminal and self._length:
            self._stream.write("\n")
            self._stream.flush()
        self._length = 0

    def _text(self, step, values, clock) -> str:
        parts = [f"{self._name} {step}/{self._last}"]
        if self._terminal:
            done = round(10 * step / self._last)
            parts.append(f"[{'=' * done}{' ' * (10 - done)}]")
        if clock.rate > 0:  # first, so that a narrow terminal cuts the metrics
            parts.append(f"ETA {duration(clock.seconds_left(self._last - step))}")
            rate = f"{clock.rate:.0f}" if clock.rate >= 100 else f"{clock.rate:.3g}"
            parts.append(f"{rate} examples/s")
        parts += [f"{name} {value:.4g}" for name, value in values.items()]
        if clock.rate > 0:
            parts.append(f"data wait {100 * clock.wait:.0f}%")
        return "  ".join(parts)

    def _print(self, text: str) -> None:
        if not self._terminal:
            self._stream.write(text + "\n")
        else:
            text = text[: shutil.get_terminal_size().columns - 1]
            self._stream.write("\r" + text.ljust(self._length))
            self._length = len(text)
        self._stream.flush()


class Clock:
    """Measures examples a second and the share of time spent waiting for data.

    The first step of each shape is tracing, not training: `skip` leaves it out.
    """

    def __init__(self, batch_size: int):
        """Starts at zero. `batch_size`: examples a step."""
        self._batch = batch_size
        self._work = 0.0
        self._wait = 0.0
        self._recent = 0.0

    def add(self, wait: float, work: float, skip: bool = False) -> None:
        """Adds one step: seconds waiting for its batch, seconds computing."""
        if skip:
            return
        self._wait += wait
        self._work += work
        seconds = wait + work
        # A moving mean over some twenty steps: quick to follow, calm to look at.
        self._recent = 0.95 * self._recent + 0.05 * seconds if self._recent else seconds

    @property
    def rate(self) -> float:
        """Examples a second over the last steps, 0 while unknown."""
        return self._batch / self._recent if self._recent else 0.0

    @property
    def wait(self) -> float:
        """Share of the time spent waiting for data since the start, in [0, 1]."""
        total = self._wait + self._work
        return self._wait / total if total else 0.0

    def seconds_left(self, steps: int) -> float:
        """Estimate for that many more steps."""
        return steps * self._recent


def duration(seconds: float) -> str:
    """Seconds as 1:02:03 or 2:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
