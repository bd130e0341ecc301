from lual.backend.reentry import busy, carries, entry, interrupts_lual


@carries("item")
def carry(item, call):
    return call()


@busy
def work(call):
    return call()


@entry
def enter(call):
    return call()


def test_a_call_from_outside_interrupts_nothing():
    assert not interrupts_lual()
    assert not interrupts_lual(object())


def test_functions_that_carry_the_same_item_are_one_call():
    item = object()
    assert not carry(item, lambda: carry(item, lambda: interrupts_lual(item)))


def test_a_call_with_another_item_interrupts_the_first():
    # Equal, and still another one.
    first, second = ["record"], ["record"]
    assert carry(first, lambda: carry(second, lambda: interrupts_lual(second)))


def test_a_flush_inside_of_a_submit_interrupts_it():
    assert carry(object(), lambda: interrupts_lual())


def test_a_call_inside_of_work_on_the_queue_interrupts_it():
    item = object()
    assert work(lambda: carry(item, lambda: interrupts_lual(item)))


def test_work_that_is_done_is_not_interrupted():
    work(lambda: None)
    assert not interrupts_lual()


def test_one_entry_of_the_application_is_the_call_itself():
    item = object()
    assert not enter(lambda: carry(item, lambda: interrupts_lual(item)))


def test_a_second_entry_interrupts_the_first():
    item = object()
    assert enter(lambda: enter(lambda: carry(item, lambda: interrupts_lual(item))))
