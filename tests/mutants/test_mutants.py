"""Mutations have stable addresses, and tests notice a sample of them; `make mutants` tries all."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.children import run
from tests.integration.statemachine.stage import Theatre
from tests.mutants import documents
from tests.mutants.__main__ import MODULES
from tests.mutants.machine import mutants, survivors
from tests.mutants.mutations import mutations
from tests.mutants.record import Known, Record
from tests.mutants.stage import PATIENCE, Seen, changed_function
from tests.mutants.trials import ROOT

EVERY = 20
"""Every twentieth bug of the state machine is tried."""
SAMPLE = """
import sys
from tests.mutants.mutations import mutations
from tests.mutants.record import Known
from tests.mutants.trials import ROOT, Trial, survivors

file, tests = sys.argv[1], tuple(sys.argv[2:])
text = (ROOT / file).read_text(encoding="utf-8")
plain = lambda: text
chosen = [Trial(Known(file, "", "nothing", ""), plain, plain, tests)]
for m in list(mutations(file, text))[::6]:
    chosen.append(Trial(m, plain, m.text, tests, m.lines))
for trial, survived in survivors(chosen, 1):
    print(int(survived), trial.bug.name)
"""
RULE = '''
"""A module."""
LIMIT = 3

def is_late(now: int, due: int, patient: bool = False) -> bool:
    """Say so."""
    if patient:
        raise ValueError(f"{now + 1}")
    return now > due + 1 and now < LIMIT
'''


def changes(text: str) -> list[str]:
    return [mutation.name.partition(" ")[2] for mutation in mutations("rule.py", text)]


def test_each_part_of_a_rule_is_mutated_once_and_addressed_by_its_expression() -> None:
    assert changes(RULE) == [
        "is_late: False -> True in now: int, due: int, patient: bool=False",
        "is_late: patient -> False in if patient: raise ValueError(f'{now + 1}')",
        "is_late: patient -> True in if patient: raise ValueError(f'{now + 1}')",
        "is_late: delete raise ValueError(f'{now + 1}')",
        "is_late: now > due + 1 and now < LIMIT -> now < LIMIT",
        "is_late: now > due + 1 and now < LIMIT -> now > due + 1",
        "is_late: now > due + 1 -> now >= due + 1",
        "is_late: due + 1 -> due - 1",
        "is_late: 1 -> 2 in due + 1",
        "is_late: now < LIMIT -> now <= LIMIT",
    ]


def test_addresses_survive_changes_elsewhere_and_keys_change_with_their_function() -> None:
    moved = RULE.replace('"""A module."""', '"""A module."""\n\ndef other() -> int:\n    return 1 + 1\n# why\n')
    before = {mutation.name: mutation.code for mutation in mutations("rule.py", RULE)}
    after = {mutation.name: mutation.code for mutation in mutations("rule.py", moved)}
    changed = {
        mutation.name: mutation.code for mutation in mutations("rule.py", RULE.replace("LIMIT\n", "LIMIT + 1\n"))
    }

    assert before.items() <= after.items()
    assert not before.items() & changed.items()


def test_a_mutated_module_differs_in_one_place() -> None:
    (found,) = [mutation for mutation in mutations("rule.py", RULE) if mutation.change == "due + 1 -> due - 1"]

    assert "return now > due - 1 and now < LIMIT" in found.text()
    assert "due - 1" not in next(mutations("rule.py", RULE)).text()


@pytest.mark.parametrize("file", [file for session in MODULES["sessions"] for file in session["modules"]])
def test_modules_exist_and_each_mutation_has_a_unique_address_and_lines(file: str) -> None:
    text = (ROOT / file).read_text(encoding="utf-8")
    found = list(mutations(file, text))

    assert len({mutation.name for mutation in found}) == len(found) > 0
    assert all(0 < mutation.lines.start < mutation.lines.stop <= text.count("\n") + 1 for mutation in found)


def test_the_tests_of_each_session_exist() -> None:
    for path, _, name in (test.partition("::") for session in MODULES["sessions"] for test in session["tests"]):
        assert (ROOT / path).exists(), path
        assert not name or f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), name


def test_a_mutation_names_the_lines_of_its_statement_or_of_its_part_of_a_compound_statement() -> None:
    lines = {mutation.name.partition(": ")[2]: mutation.lines for mutation in mutations("rule.py", RULE)}

    assert lines["patient -> False in if patient: raise ValueError(f'{now + 1}')"] == range(7, 8)
    assert lines["delete raise ValueError(f'{now + 1}')"] == range(8, 9)
    assert lines["1 -> 2 in due + 1"] == range(9, 10)


@pytest.mark.parametrize(
    ("change", "function"),
    [
        ("due + 1 -> due - 1", "is_late"),
        ("delete raise ValueError(f'{now + 1}')", "is_late"),
        ("False -> True in now: int, due: int, patient: bool=False", None),
    ],
)
def test_only_a_bug_inside_of_one_function_is_a_change_of_its_code(change: str, function: str | None) -> None:
    (found,) = [mutation for mutation in mutations("rule.py", RULE) if mutation.change == change]

    code = changed_function(Path("rule.py"), ast.unparse(ast.parse(RULE)), found.text())

    assert (code.co_qualname if code else None) == function


def test_tests_are_chosen_by_the_lines_that_they_execute_the_quickest_first_until_patience_ends() -> None:
    lines = {"rule.py": {7: [0, 1, 2], 8: [1], 9: [0, 2, 3, 4]}}
    seen = Seen(lines, ["a", "b", "c", "d", "e"], [3.0, 2.0, PATIENCE - 4, 100.0, 0.5])

    assert seen.tests_of("rule.py", range(8, 9)) == [1]
    assert seen.tests_of("rule.py", range(9, 10)) == [4, 0, 2]
    assert seen.tests_of("rule.py", range(10, 11)) == []
    assert seen.tests_of("other.py", range(8, 9)) == []


def test_each_listed_equivalent_is_a_mutation_and_has_a_reason() -> None:
    for file, functions in MODULES.get("equivalent", {}).items():
        found = {(m.function, m.change) for m in mutations(file, (ROOT / file).read_text(encoding="utf-8"))}
        listed = {(function, change) for function, reasons in functions.items() for change in reasons}
        assert listed <= found
        assert all(reason for reasons in functions.values() for reason in reasons.values())


@pytest.mark.parametrize("bug", documents.BUGS, ids=lambda bug: bug.name)
def test_each_bug_of_a_document_is_at_a_place_that_exists(bug: documents.Bug) -> None:
    assert documents.edited(bug) != documents.edited(documents.BUGS[0]) or bug is documents.BUGS[0]


def bugs(code: str = "c0de", *equivalent: str) -> list[Known]:
    changes = [change for change in ("a -> b", "b -> c", "c -> d") if change not in equivalent]
    return [Known("rule.py", "is_late", change, code) for change in changes]


def test_the_record_of_a_function_is_kept_until_its_code_changes(tmp_path: Path) -> None:
    path = tmp_path / "mutants.json"
    first = Record(path, bugs())
    for bug, survived in zip(bugs(), (False, True, False), strict=True):
        assert not path.exists()
        first.add(bug, survived)

    assert [Record(path, bugs()).result(bug) for bug in bugs()] == [False, True, False]
    assert [Record(path, bugs("0ther")).result(bug) for bug in bugs("0ther")] == [None, None, None]
    assert [Record(path, bugs(), forget=True).result(bug) for bug in bugs()] == [None, None, None]

    again = Record(path, bugs())
    again.add(bugs()[1], False)

    assert [Record(path, bugs()).result(bug) for bug in bugs()] == [False, False, False]


def test_the_record_stays_when_a_survivor_is_listed_as_equivalent_and_not_when_there_are_new_bugs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "mutants.json"
    first = Record(path, bugs())
    for bug, survived in zip(bugs(), (False, True, False), strict=True):
        first.add(bug, survived)
    more = [*bugs(), Known("rule.py", "is_late", "d -> e", "c0de")]

    listed = bugs("c0de", "b -> c")

    assert [Record(path, listed).result(bug) for bug in listed] == [False, False]
    assert [Record(path, more).result(bug) for bug in more] == [None] * 4


def test_the_page_counts_what_is_noticed_unnoticed_untried_and_equivalent(tmp_path: Path) -> None:
    record = Record(tmp_path / "mutants.json", [*bugs(), Known("text.py", "", "e -> f", "c0de")])
    for bug, survived in zip(bugs(), (False, True, False), strict=True):
        record.add(bug, survived)

    page = record.table(Counter({"text.py": 2}))

    assert "| `rule.py` | 3 | 2 | 1 | 0 | 0 |" in page
    assert "| `text.py` | 1 | 0 | 0 | 1 | 2 |" in page
    assert "| **all** | 4 | 2 | 1 | 1 | 2 |" in page
    assert page.endswith("tests notice 66.7%.\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "tests", "least"),
    [
        ("functions/registry/preconditions.py", ["test_preconditions.py"], 4),
        # The second file has no test that executes a line of this module, but one that reads a value of its classes.
        ("functions/fanout/errors.py", ["test_config_client.py", "test_failures.py"], 1),
    ],
)
def test_of_a_sample_each_bug_is_noticed_and_no_bug_is_not(file: str, tests: list[str], least: int) -> None:
    done = run([sys.executable, "-c", SAMPLE, file, *(f"tests/unit/functions/{name}" for name in tests)], cwd=ROOT)

    survived, *others = done.stdout.splitlines()
    assert survived == f"1 {file} : nothing", done.stdout + done.stderr
    assert len(others) >= least
    assert all(line.startswith(f"0 {file} ") for line in others), done.stdout


@pytest.mark.slow
def test_a_sample_of_the_state_machines_bugs_is_noticed(tmp_path: Path) -> None:
    theatre = Theatre(tmp_path)
    try:
        every = list(mutants(theatre.definition))
        assert len(every) > 100
        half = len(every) // 2
        assert survivors(theatre, every[:half:EVERY]) == []
        assert survivors(theatre, every[half::EVERY], half) == []
    finally:
        theatre.close()
