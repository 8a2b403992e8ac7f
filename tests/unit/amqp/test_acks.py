"""The bookkeeping of acks, against a model of the broker, which closes the channel (406) over one it cannot place."""

from __future__ import annotations

from hypothesis import given, strategies as st

from amqptasks.amqp.acks import Ack, Acks

#: What happens to one of the held messages: finished, handed back, or acks are written.
Step = tuple[str, int]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["deliver", "deliver", "finish", "finish", "nack", "reject", "flush"]), st.integers(0, 1000)
    ),
    max_size=120,
)


class PreconditionFailed(Exception):
    """406: unknown delivery tag."""


class Channel:
    """RabbitMQ's side of one channel, as `rabbit_channel:collect_acks` goes through what is unacked."""

    def __init__(self) -> None:
        self.delivered = 0
        self.unacked: set[int] = set()
        self.acked: list[int] = []
        self.nacked: list[int] = []

    def deliver(self) -> int:
        self.delivered += 1
        self.unacked.add(self.delivered)
        return self.delivered

    def ack(self, tag: int, multiple: bool) -> None:
        self.acked += self._settle(tag, multiple)

    def nack(self, tag: int, multiple: bool) -> None:
        self.nacked += self._settle(tag, multiple)

    def _settle(self, tag: int, multiple: bool) -> list[int]:
        if tag not in self.unacked:
            raise PreconditionFailed(f"unknown delivery tag {tag}")
        settled = {one for one in self.unacked if one <= tag} if multiple else {tag}
        self.unacked -= settled
        return sorted(settled)


def write(acks: Acks, channel: Channel) -> list[Ack]:
    written = acks.flush()
    for tag, multiple in written:
        channel.ack(tag, multiple)
    for tag, multiple in acks.flush_returned():
        channel.nack(tag, multiple)
    return written


@given(STEPS)
def test_every_finished_message_is_acked_once_every_returned_one_nacked_once_and_no_other(steps: list[Step]) -> None:
    acks, channel = Acks(), Channel()
    running: list[int] = []
    finished: list[int] = []
    returned: list[int] = []
    for step, number in steps:
        if step == "deliver":
            running.append(channel.deliver())
        elif step == "finish" and running:
            tag = running.pop(number % len(running))
            acks.finish(tag)
            finished.append(tag)
        elif step == "nack" and running:
            tag = running.pop(number % len(running))
            acks.give_back(tag)
            returned.append(tag)
        elif step == "reject" and running:
            tag = running.pop(number % len(running))
            acks.settle(tag)
            channel.unacked.discard(tag)
        elif step == "flush":
            write(acks, channel)
            assert sorted(channel.acked) == sorted(finished)
    write(acks, channel)
    assert sorted(channel.acked) == sorted(finished)
    assert sorted(channel.nacked) == sorted(returned)
    assert channel.unacked == set(running)


@given(st.permutations(range(1, 40)), st.integers(1, 10))
def test_the_frames_are_few_and_nothing_is_remembered_once_all_is_settled(order: list[int], turn: int) -> None:
    acks, channel = Acks(), Channel()
    for _ in order:
        channel.deliver()
    for start in range(0, len(order), turn):
        batch = order[start : start + turn]
        for tag in batch:
            acks.finish(tag)
        written = write(acks, channel)
        assert len(written) <= len(batch)
        assert sum(multiple for _, multiple in written) <= 1
    assert not channel.unacked
    assert not acks._settled
    assert acks._prefix == len(order)


def test_what_finished_without_a_gap_is_one_frame() -> None:
    acks = Acks()
    for tag in (3, 1, 2):
        acks.finish(tag)
    assert acks.flush() == [(3, True)]


def test_what_finished_above_a_straggler_does_not_wait_for_it() -> None:
    acks = Acks()
    for tag in (1, 3, 4):
        acks.finish(tag)
    assert acks.flush() == [(1, True), (3, False), (4, False)]
    acks.finish(2)
    assert acks.flush() == [(2, True)]
    acks.finish(5)
    assert acks.flush() == [(5, True)]


def test_nothing_finished_is_nothing_to_write() -> None:
    acks = Acks()
    acks.settle(1)
    assert acks.flush() == []


def test_the_top_of_a_multiple_ack_is_never_one_that_was_handed_back() -> None:
    acks = Acks()
    acks.finish(1)
    acks.settle(2)
    assert acks.flush() == [(1, True)]


def test_what_is_given_back_is_one_frame_where_nothing_runs_below_it() -> None:
    """Each frame is a command to a quorum queue, and a channel that is closed soon afterwards drops those in excess."""
    acks = Acks()
    acks.finish(1)
    for tag in range(2, 400):
        acks.give_back(tag)
    acks.give_back(401)
    assert acks.flush() == [(1, True)]
    assert acks.flush_returned() == [(399, True), (401, False)]
    acks.finish(400)
    assert acks.flush() == [(400, True)]
    assert acks.flush_returned() == []
