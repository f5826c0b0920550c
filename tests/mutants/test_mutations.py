"""The mutations of a piece of source are found, and samples of them are drawn by a seed."""

from tests.mutants.covering import Covering
from tests.mutants.mutations import mutations_of, sample
from tests.mutants.report import is_met, report
from tests.mutants.trying import Result, Verdict

SOURCE = b'''
class Queue:
    def take(self, most):
        """Up to `most`: \xc3\xa4lteste zuerst."""
        log.info("taken", count=most - 1)
        if not self.open or most > 0:
            self.count -= most
            raise ValueError(f"{most + 1}")
        with self._lock:
            rows = self.rows.filter(state="ready", due=True).locked()
        return [row for row in rows if row.free]
'''


def found():
    return {
        one.key.removeprefix("queue.py::Queue.take: ") for one in mutations_of("queue.py", SOURCE)
    }


def test_each_mistake_is_one_change_of_the_source():
    assert found() == {
        "not self.open or most > 0 -> not self.open and most > 0",
        "not self.open or most > 0 -> not (not self.open or most > 0)",
        "not self.open -> (self.open)",
        "most > 0 -> most >= 0",
        "0 -> 1",
        "self.count -= most -> pass",
        'raise ValueError(f"{most + 1}") -> pass',
        'self._lock -> __import__("contextlib").nullcontext()',
        'self.rows.filter(state="ready", due=True).locked() -> '
        'self.rows.filter(state="ready", due=True)',
        'self.rows.filter(state="ready", due=True) -> self.rows',
        'state="ready", due=True -> state="ready"',
        'state="ready", due=True -> due=True',
        "True -> False",
        "row.free -> True",
    }


def test_a_mutation_leaves_the_rest_of_the_source_as_it_is():
    for mutation in mutations_of("queue.py", SOURCE):
        mutated = mutation.apply(SOURCE)
        assert mutated != SOURCE
        assert mutated.startswith(SOURCE[: mutation.start])
        assert mutated.endswith(SOURCE[mutation.end :])
        assert mutation.before.encode() == SOURCE[mutation.start : mutation.end]


def test_a_sample_depends_on_its_seed_alone():
    candidates = mutations_of("queue.py", SOURCE)
    moved = mutations_of("queue.py", b"\n# A comment\n" + SOURCE)

    chosen = [one.key for one in sample(candidates, 5, seed=1)]

    assert [one.key for one in sample(list(reversed(moved)), 5, seed=1)] == chosen
    assert [one.key for one in sample(candidates, 5, seed=2)] != chosen


def test_the_quickest_tests_of_a_line_are_chosen_and_all_of_the_module_for_its_own_statements():
    lines = {"queue.py": {1: ["prepares"], 9: ["slow", "quick"]}}
    covering = Covering({"prepares": 3.0, "quick": 1.0, "slow": 9.0}, lines)

    assert covering.tests("queue.py", 9, 9, budget=5.0) == ["quick"]
    assert covering.tests("queue.py", 1, 1, budget=5.0) == ["prepares"]
    assert covering.tests("queue.py", 1, 1, budget=5.0, is_of_module=True) == ["quick", "prepares"]


def test_a_report_says_what_was_not_tried_and_is_not_met_by_the_rest(monkeypatch):
    mutations = mutations_of("queue.py", SOURCE)[:5]
    killed, survived, equivalent, refuted, not_tried = (mutation.key for mutation in mutations)
    known = {equivalent: "nothing changes", refuted: "nothing changes"}
    monkeypatch.setattr("tests.mutants.report.judged", lambda: (known, {survived: "hard to see"}))
    results = {
        killed: Result(killed, Verdict.KILLED, "FAILED test_it"),
        survived: Result(survived, Verdict.SURVIVED, "3 tests pass"),
        refuted: Result(refuted, Verdict.KILLED, "FAILED test_it"),
    }
    chosen = {"queues": mutations}

    text = report(chosen, results)

    assert "5 mutations: 2 killed, 1 survived, 1 equivalent, 1 not tried. 66.7% of those" in text
    assert "| queues | 5 | 2 | 1 | 1 | 1 |" in text
    assert "hard to see" in text
    assert "equivalent: nothing changes (not tried)" in text
    assert not_tried not in text
    del results[survived]
    assert not is_met(chosen, results)
    results |= {key: Result(key, Verdict.KILLED, "FAILED test_it") for key in (survived, not_tried)}
    assert is_met(chosen, results)
