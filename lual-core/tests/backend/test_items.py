import time
from operator import itemgetter
from types import SimpleNamespace

import pytest

from lual.backend import WorkItem
from lual.backend.items import LEVEL


def dispatch(logger, record):
    pass


def test_an_item_has_the_attributes_of_the_contract():
    item = WorkItem("app", "record", dispatch, 12.5, 30, 7)
    assert item.logger == "app"
    assert item.record == "record"
    assert item.dispatch_func is dispatch
    assert item.submitted_at == 12.5
    assert item.level == item[LEVEL] == 30
    assert item.seq == 7


def test_what_was_not_given_has_a_default():
    before = time.time()
    item = WorkItem("app", SimpleNamespace(level=40))
    assert item.level == 40
    assert item.seq is None
    assert item.dispatch_func is None
    assert before <= item.submitted_at <= time.time()


def test_a_record_without_a_level_has_the_lowest():
    assert WorkItem("app", "text").level == 0


def test_items_that_look_alike_are_two():
    one, other = (WorkItem("app", "same", None, 0.0, 20, 1) for _ in "ab")
    assert one == one
    assert one != other
    assert not one == other  # noqa: SIM201  both operators are the rule
    assert not one != one  # noqa: SIM202
    assert len({one, other}) == 2
    assert [one, other].index(other) == 1


def test_an_item_does_not_change():
    item = WorkItem("app", "record")
    with pytest.raises(AttributeError):
        item.level = 50
    with pytest.raises(AttributeError):
        item.other = 1


def test_the_text_of_an_item_leaves_the_record_out():
    assert repr(WorkItem("app", "secret", None, 0.0, 20, 3)) == (
        "<WorkItem seq=3 level=20 of 'app'>"
    )


def test_a_subclass_may_work_out_an_attribute_when_it_is_read():
    class Lazy(WorkItem):
        __slots__ = ()
        record = property(itemgetter(1))

    item = tuple.__new__(Lazy, (20, "worked out"))
    assert item.record == "worked out"
    assert item.level == 20
