import pytest

from lual.pipelines.batch import Batch
from lual.record import NamedRoute, Record


def raw_of(number):
    route = NamedRoute("app")
    return (20, number, route, 0, f"m{number}", (), None, 0, (1, "M"), None, None, None)


@pytest.fixture
def batch():
    return Batch(["a", "b", "c"], [raw_of(0), raw_of(1), raw_of(2)])


def test_a_batch_is_a_sequence_of_texts_and_records(batch):
    assert len(batch) == 3
    assert [(text, record.message) for text, record in batch] == [
        ("a", "m0"),
        ("b", "m1"),
        ("c", "m2"),
    ]
    assert batch[-1][0] == "c"
    assert batch[0] in batch


def test_no_record_is_made_for_the_texts_alone(batch, monkeypatch):
    monkeypatch.setattr("lual.pipelines.batch.Record", None)
    assert batch.texts == ["a", "b", "c"]
    assert len(batch) == 3


def test_a_record_is_the_same_object_each_time(batch):
    assert batch[1][1] is batch[1][1]
    assert next(iter(batch))[1] is batch[0][1]


def test_a_slice_is_a_batch_of_the_same_records(batch):
    part = batch[1:]
    assert isinstance(part, Batch)
    assert part.texts == ["b", "c"]
    assert part[0][1] is batch[1][1]


def test_records_that_exist_are_used():
    record = Record(raw_of(0))
    assert Batch(["a"], [record.raw], [record])[0][1] is record


def test_an_index_beyond_the_end_is_an_error(batch):
    with pytest.raises(IndexError):
        batch[3]
