"""Progress: a bar on a terminal, lines elsewhere, and honest figures."""

import io

from trainers.progress import Clock, Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


def clock(steps=40, wait=0.1, work=0.3):
    found = Clock(batch_size=8)
    for _ in range(steps):
        found.add(wait, work)
    return found


def test_rate_share_of_waiting_and_time_left_are_those_of_the_steps():
    found = clock()
    assert abs(found.rate - 8 / 0.4) < 1e-6
    assert abs(found.wait - 0.25) < 1e-9
    assert abs(found.seconds_left(10) - 4.0) < 1e-9


def test_a_step_that_was_compiled_does_not_count():
    found = Clock(batch_size=8)
    found.add(0.0, 30.0, skip=True)
    assert found.rate == 0.0 and found.wait == 0.0
    found.add(0.0, 0.5)
    assert found.rate == 16.0


def test_the_rate_follows_a_change():
    found = clock(work=0.3)
    for _ in range(100):
        found.add(0.0, 0.1)
    assert abs(found.rate - 80) < 4


def test_without_a_terminal_whole_lines_are_written():
    stream = io.StringIO()
    progress = Progress("toy", 10, stream)
    for step in range(1, 11):
        progress.show(step, {"loss": 0.5}, clock())
    progress.close()
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("toy 1/10  ETA 0:03  20 examples/s  loss 0.5")
    assert lines[-1].startswith("toy 10/10") and "data wait 25%" in lines[-1]
    assert len(lines) == 2  # the first, and the last; the rest within ten seconds


def test_on_a_terminal_a_note_does_not_tear_the_bar():
    stream = Terminal()
    progress = Progress("toy", 10, stream)
    progress.show(5, {"loss": 0.5}, clock())
    progress.note("step 5, test: psnr 20")
    progress.show(10, {"loss": 0.5}, clock())
    progress.close()
    text = stream.getvalue()
    assert "toy 5/10  [=====     ]" in text
    assert "\rstep 5, test: psnr 20\n\rtoy 10/10  [==========]" in text
    assert text.endswith("\n")


def test_durations_read_as_on_a_clock():
    assert [duration(x) for x in (0, 61.9, 3723)] == ["0:00", "1:01", "1:02:03"]
