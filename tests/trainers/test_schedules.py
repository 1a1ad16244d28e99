"""Tests of trainers.schedules."""

import keras
import numpy as np
import pytest

from trainers.schedules import Warmup

COSINE = keras.optimizers.schedules.CosineDecay(0.5, 100)


def test_the_rate_climbs_in_a_line_to_the_schedule_and_follows_it():
    rates = np.array([float(Warmup(COSINE, 10)(step)) for step in range(100)])
    plain = np.array([float(COSINE(step)) for step in range(100)])
    np.testing.assert_allclose(rates[9:], plain[9:], rtol=1e-6)
    np.testing.assert_allclose(
        rates[:10] / plain[:10], np.arange(1, 11) / 10, rtol=1e-5
    )


def test_no_warm_up_is_the_schedule_itself():
    for step in (0, 1, 50):
        assert float(Warmup(COSINE, 0)(step)) == pytest.approx(float(COSINE(step)))


def test_an_optimizer_with_it_survives_its_configuration():
    optimizer = keras.optimizers.Adam(Warmup(COSINE, 10))
    again = keras.optimizers.Adam.from_config(optimizer.get_config())
    assert float(again.learning_rate) == pytest.approx(float(optimizer.learning_rate))


def test_a_negative_length_is_named():
    with pytest.raises(ValueError, match="`steps`"):
        Warmup(COSINE, -1)
