import math
import threading

import pytest

from lual.backend import Clock
from lual.backend.clock import check_timeout


def test_a_wait_that_nobody_ends_returns_false():
    condition = threading.Condition()
    with condition:
        assert Clock().wait(condition, 0) is False


@pytest.mark.parametrize("timeout", [None, math.inf, 1e300, 10.0])
def test_a_notification_ends_a_wait_of_any_length(timeout, background):
    condition = threading.Condition()

    def notify():
        with condition:
            condition.notify_all()

    with condition:
        call = background(notify)  # gets the lock only once this thread waits
        assert Clock().wait(condition, timeout) is True
    call.result()


def test_now_never_goes_back():
    clock = Clock()
    assert clock.now() <= clock.now()


def test_no_timeout_means_the_default():
    assert check_timeout(None, 3.5) == 3.5


@pytest.mark.parametrize("timeout", [0, 0.5, 7, math.inf])
def test_a_timeout_may_be_any_number_of_seconds_from_0_on(timeout):
    assert check_timeout(timeout, 1.0) == timeout


@pytest.mark.parametrize("timeout", [-1, -1e-9, -math.inf, math.nan])
def test_a_negative_timeout_is_an_error_that_names_it(timeout):
    with pytest.raises(ValueError, match=f"timeout must be 0 or more seconds, got {timeout!r}"):
        check_timeout(timeout, 1.0)
