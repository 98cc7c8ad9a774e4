"""What a method gives back."""

from cowork.errors import RpcError
from cowork.service.answer import Answer


def test_an_answer_is_nothing_unless_told() -> None:
    assert Answer() == (None, None, None)


def test_an_answer_carries_a_failure_and_what_follows_it() -> None:
    error = RpcError("no")
    called: list[int] = []
    answer = Answer(error=error, after=lambda: called.append(1))
    assert answer.error is error
    assert answer.after is not None
    answer.after()
    assert called == [1]
