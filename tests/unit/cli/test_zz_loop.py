import time
from tests.support.desk import *
from tests.unit.cli.conftest import desk, terminal
from tests.unit.cli.test_completion import told
from cowork.supervisor.approvals import pending
import pytest
@pytest.mark.parametrize("n", range(60))
def test_x(desk, n):
    t=time.monotonic()
    broken = desk.written(id="zzzzzzzzzzzz", name="broken", runs=True)
    (broken.path / "session.json").write_text("{")
    desk.asking(name="talk")
    (question,) = pending(desk.where)
    for verb in ("logs", "attach", "send", "wait", "approvals", "kill", "rm", "du"):
        assert told(desk, verb, "ta") == ["talk"], desk.run("ps").out
    assert told(desk, "kill", "talk", "z") == ["zzzzzzzzzzzz"], "one after the other"
    for verb in ("approve", "deny"):
        assert told(desk, verb, "") == [question.id], desk.run("ps").out
        assert told(desk, verb, question.id[:14]) == [question.id], desk.run("ps").out
    assert time.monotonic()-t<1
