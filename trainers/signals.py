"""SIGTERM and Ctrl-C as a wish that the loop grants after the current step."""

import signal
import threading


class Signals:
    """Notes the first signal; a second one of the same kind acts at once.

    Attributes:
        received: number of the signal, None before one came.
    """

    def __init__(self):
        self.received: int | None = None
        self._old: dict[int, object] = {}

    def __enter__(self) -> "Signals":
        # Python lets only the main thread set handlers.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind, value, trace) -> None:
        for number, old in self._old.items():
            signal.signal(number, old)

    def _note(self, number, frame) -> None:
        self.received = number
        signal.signal(number, self._old.get(number, signal.SIG_DFL))
