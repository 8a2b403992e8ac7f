"""An exception whose text takes its time holds up nothing but what asks for that text."""

from __future__ import annotations

import threading

import pytest

from amqptasks.messages.exception_info import ExceptionInfo


class Slow(Exception):
    """Its text is there once it may be."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.may_end = threading.Event(), threading.Event()

    def __str__(self) -> str:
        self.asked.set()
        assert self.may_end.wait(30)
        return "slow"


@pytest.mark.parametrize("name", ["message", "traceback"])
def test_an_exception_whose_text_takes_long_holds_up_no_other_ones_text(name: str) -> None:
    slow, quick = ExceptionInfo(Slow()), ExceptionInfo(ValueError("quick"))
    error = slow.exception
    assert isinstance(error, Slow)
    asking = threading.Thread(target=lambda: getattr(slow, name), daemon=True)
    asking.start()
    assert error.asked.wait(10)
    found: list[str] = []
    other = threading.Thread(target=lambda: found.append(getattr(quick, name)), daemon=True)
    other.start()
    other.join(10)
    assert "quick" in found[0]
    error.may_end.set()
    asking.join(10)
    assert "slow" in getattr(slow, name)


def test_the_text_of_an_exception_is_made_once() -> None:
    class Counted(Exception):
        made = 0

        def __str__(self) -> str:
            Counted.made += 1
            return f"text {Counted.made}"

    info = ExceptionInfo(Counted())
    assert (info.message, info.message, Counted.made) == ("text 1", "text 1", 1)
