import threading
from types import SimpleNamespace

import pytest

from lual.backend import BackendConfig, BoundedQueue, run_batch
from lual.context import dispatch_depth
from lual.errors import ReportedError
from lual.levels import INFO


class Bench:
    """Runs batches that were taken from a queue."""

    def __init__(self, clock, make_item):
        self.errors = []
        self.queue = BoundedQueue(100)
        self.config = BackendConfig(
            queue=self.queue, clock=clock, error_callback=self.errors.append
        )
        self.queue.bind(self.config.ledger)
        self.make_item = make_item

    def take(self, *records, func=None):
        for record in records:
            self.queue.enqueue(self.make_item(record, INFO, func))
        return self.queue.extract_batch(100)

    def run(self, func, *records, **settings):
        run_batch(self.take(*records), func, self.config, **settings)

    @property
    def counts(self):
        stats = self.config.ledger.snapshot()
        names = ("messages_processed", "messages_failed", "in_flight", "queue_size")
        return tuple(stats[name] for name in names)


@pytest.fixture
def bench(clock, make_item):
    return Bench(clock, make_item)


class TestOrder:
    def test_records_are_dispatched_in_order_with_their_logger(self, bench, output):
        bench.run(output, 1, 2, 3)
        assert output.calls == [("app", 1), ("app", 2), ("app", 3)]
        assert bench.counts == (3, 0, 0, 0)

    def test_a_batch_of_none_does_nothing(self, bench, output):
        run_batch([], output, bench.config)
        assert output.records == []
        assert bench.counts == (0, 0, 0, 0)

    def test_it_runs_inside_a_dispatch(self, bench):
        depths = []
        bench.run(lambda logger, record: depths.append(dispatch_depth()), 1)
        assert depths == [1]
        assert dispatch_depth() == 0


class TestErrors:
    def test_an_exception_fails_its_record_and_the_rest_goes_on(self, bench, output):
        output.failures = {2: ValueError("no"), 3: KeyError("gone")}
        bench.run(output, 1, 2, 3, 4)
        assert output.records == [1, 4]
        assert bench.counts == (2, 2, 0, 0)
        assert bench.config.ledger["failed_by_reason"] == {"dispatch": 2}
        assert bench.config.ledger["backend_errors"] == 2

    def test_a_report_names_the_exception_its_text_the_logger_and_the_record(self, bench, output):
        output.failures = {"a message": ValueError("no")}
        bench.run(output, "a message")
        assert bench.errors == [
            "ValueError: no, while dispatching a record of logger 'app': 'a message'"
        ]

    def test_a_report_takes_the_name_of_a_logger_and_the_message_of_a_record(self, bench):
        def fail(logger, record):
            raise OSError("full")

        item = bench.make_item(SimpleNamespace(message="disk " * 50, level=INFO))
        named = type(item)(SimpleNamespace(name="app.db"), item.record)
        run_batch([named], fail, bench.config)
        (message,) = bench.errors
        assert message.startswith("OSError: full, while dispatching a record of logger 'app.db': ")
        assert message.endswith("disk di...'")
        assert len(message) < 160

    @pytest.mark.parametrize("error", [RecursionError("deep"), MemoryError(), StopIteration()])
    def test_any_exception_is_an_outcome(self, bench, output, error):
        output.failures = {1: error}
        bench.run(output, 1, 2)
        assert bench.counts == (1, 1, 0, 0)
        assert type(error).__name__ in bench.errors[0]

    @pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
    def test_on_a_worker_each_base_exception_is_an_outcome(self, bench, output, kind):
        output.failures = {1: kind("stop it")}
        bench.run(output, 1, 2)
        assert output.records == [2]
        assert bench.counts == (1, 1, 0, 0)
        assert kind.__name__ in bench.errors[0]

    def test_a_failure_that_was_reported_already_is_not_reported_again(self, bench, output):
        output.failures = {1: ReportedError("known")}
        bench.run(output, 1)
        assert bench.counts == (0, 1, 0, 0)
        assert bench.errors == []

    def test_a_record_that_cannot_be_read_is_reported_all_the_same(self, bench):
        class Broken:
            level = INFO

            @property
            def message(self):
                raise RuntimeError("unreadable")

        class Logger:
            @property
            def name(self):
                raise RuntimeError("unreadable")

        def fail(logger, record):
            raise OSError("full")

        item = bench.make_item(Broken())
        run_batch([item, type(item)(Logger(), 1)], fail, bench.config)
        assert bench.errors == ["OSError: full, while dispatching a record"] * 2

    @pytest.mark.parametrize("kind", [RuntimeError, SystemExit, GeneratorExit])
    def test_what_the_error_callback_raises_changes_nothing(self, bench, output, kind):
        def broken(message):
            bench.errors.append(message)
            raise kind("broken")

        bench.config.error_callback = broken
        output.failures = {1: ValueError("a"), 2: ValueError("b")}
        bench.run(output, 1, 2, 3)
        assert len(bench.errors) == 2
        assert bench.counts == (1, 2, 0, 0)

    def test_no_lock_is_held_while_an_error_is_reported(self, bench, output, background):
        sizes = []
        bench.config.error_callback = lambda message: sizes.append(
            background(bench.queue.watermark).result()
        )
        output.failures = {1: ValueError()}
        bench.run(output, 1)
        assert sizes == [1]


class TestDispatchFunctions:
    def test_an_items_own_function_wins(self, bench, output):
        mine = []
        items = [
            *bench.take(1),
            *bench.take(2, func=lambda logger, record: mine.append(record)),
            *bench.take(3),
        ]
        run_batch(items, output, bench.config)
        assert output.records == [1, 3]
        assert mine == [2]

    def test_with_neither_function_the_item_fails(self, bench):
        bench.run(None, 1, 2)
        assert bench.counts == (0, 2, 0, 0)
        assert bench.config.ledger["failed_by_reason"] == {"no_dispatch": 2}
        assert "NoDispatchError: there is no dispatch function" in bench.errors[0]

    def test_a_function_may_be_false_as_an_empty_list_is(self, bench):
        class Recorder(list):
            def __call__(self, logger, record):
                self.append(record)

        own, default = Recorder(), Recorder()
        run_batch([*bench.take(1, func=own), *bench.take(2)], default, bench.config)
        assert (own, default) == ([1], [2])


class TestBatches:
    def test_a_dispatch_with_many_gets_all_at_once(self, bench, batch_output):
        bench.run(batch_output, 1, 2, 3)
        assert batch_output.events == [[1, 2, 3]]
        assert bench.counts == (3, 0, 0, 0)

    def test_it_gives_one_outcome_for_each(self, bench, batch_output):
        batch_output.failures = {2: ValueError("no")}
        bench.run(batch_output, 1, 2, 3)
        assert bench.counts == (2, 1, 0, 0)
        assert "'2'" in bench.errors[0]

    def test_runs_of_one_function_go_together_and_in_order(self, bench, batch_output):
        seen = []
        own = SimpleNamespace(
            many=lambda items: [seen.append([i.record for i in items])] * len(items)
        )
        items = [*bench.take(1, 2), *bench.take(3, 4, func=own), *bench.take(5)]
        run_batch(items, batch_output, bench.config)
        assert batch_output.events == [[1, 2], [5]]
        assert seen == [[3, 4]]

    def test_an_exception_out_of_many_fails_all(self, bench):
        def many(items):
            raise OSError("full")

        bench.run(SimpleNamespace(many=many), 1, 2)
        assert bench.counts == (0, 2, 0, 0)
        assert len(bench.errors) == 2

    @pytest.mark.parametrize("outcomes", [[None], [None] * 3, (), 5, None])
    def test_a_wrong_number_of_outcomes_fails_all(self, bench, outcomes):
        bench.run(SimpleNamespace(many=lambda items: outcomes), 1, 2)
        assert bench.counts == (0, 2, 0, 0)

    def test_outcomes_may_come_as_any_iterable(self, bench):
        bench.run(SimpleNamespace(many=lambda items: (None for _ in items)), 1, 2)
        assert bench.counts == (2, 0, 0, 0)


class TestOnACallersThread:
    def test_an_interruption_goes_on_to_the_caller_after_the_rest_went_back(self, bench, output):
        output.failures = {2: KeyboardInterrupt()}
        with pytest.raises(KeyboardInterrupt):
            bench.run(output, 1, 2, 3, 4, on_caller=True)
        assert bench.counts == (1, 1, 0, 2)
        assert [i.record for i in bench.queue.extract_batch(9)] == [3, 4]
        assert "KeyboardInterrupt" in bench.errors[0]

    def test_it_goes_on_out_of_many_as_well(self, bench, make_item):
        def many(items):
            raise SystemExit(3)

        items = [*bench.take(1, 2, func=SimpleNamespace(many=many)), *bench.take(3)]
        with pytest.raises(SystemExit):
            run_batch(items, None, bench.config, on_caller=True)
        assert bench.counts == (0, 2, 0, 1)

    def test_an_interruption_at_the_last_record_goes_on(self, bench, output):
        output.failures = {1: KeyboardInterrupt()}
        with pytest.raises(KeyboardInterrupt):
            bench.run(output, 1, on_caller=True)
        assert bench.counts == (0, 1, 0, 0)

    def test_an_exception_stays_an_outcome(self, bench, output):
        output.failures = {1: ValueError()}
        bench.run(output, 1, 2, on_caller=True)
        assert bench.counts == (1, 1, 0, 0)

    def test_a_ctrl_c_that_arrives_in_the_error_callback_loses_no_record(self, bench, output):
        def interrupted(message):
            raise KeyboardInterrupt

        assert threading.current_thread() is threading.main_thread()
        bench.config.error_callback = interrupted
        output.failures = {1: ValueError()}
        with pytest.raises(KeyboardInterrupt):
            bench.run(output, 1, 2, 3, on_caller=True)
        assert bench.counts == (0, 1, 0, 2)

    def test_the_same_on_another_thread_changes_nothing(self, bench, output, background):
        def interrupted(message):
            raise KeyboardInterrupt

        bench.config.error_callback = interrupted
        output.failures = {1: ValueError()}
        background(lambda: bench.run(output, 1, 2, 3)).result()
        assert bench.counts == (2, 1, 0, 0)


class TestBooks:
    def test_an_outcome_after_a_reset_is_ignored(self, bench, output):
        output.hooks = {1: bench.config.ledger.reset}
        bench.run(output, 1, 2)
        assert bench.counts == (0, 0, 0, 0)
        assert bench.config.ledger["latency"]["dispatch"]["count"] == 0

    def test_a_batch_gives_one_sample_of_its_duration(self, bench, output, clock):
        output.hooks = {1: lambda: clock.advance(2.0), 2: lambda: clock.advance(1.0)}
        bench.run(output, 1, 2)
        latency = bench.config.ledger["latency"]["dispatch"]
        assert (latency["count"], latency["sum_ns"]) == (1, 3_000_000_000)

    def test_a_plain_dict_is_up_to_date_after_each_batch(self, clock, make_item, output):
        stats = {"messages_processed": 0, "backend_errors": 0}
        queue = BoundedQueue(10)
        config = BackendConfig(queue=queue, stats=stats, clock=clock)
        queue.bind(config.ledger)
        queue.enqueue(make_item(1))
        run_batch(queue.extract_batch(1), output, config)
        assert (stats["messages_submitted"], stats["messages_processed"]) == (1, 1)
