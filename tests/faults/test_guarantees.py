"""Every guarantee and every fault case has tests that name it by a marker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.guarantees import marked_tests, page, titles

FAULTS = {str(number) for number in range(1, 68)}


def test_every_guarantee_and_every_fault_case_has_a_test() -> None:
    guarantees, groups = titles()
    marks = {test.mark for test in marked_tests()}

    assert guarantees.keys() == {f"G{number}" for number in range(1, 7)}
    assert {case for group in groups.values() for case in group} == FAULTS
    assert marks == guarantees.keys() | FAULTS


@pytest.mark.parametrize(
    ("decorators", "marks"),
    [
        ('@pytest.mark.guarantee("G1", "G3")\n@pytest.mark.fault(17)', ["G1", "G3", "17"]),
        ("@pytest.mark.slow\n@pytest.mark.parametrize('n', [1])", []),
    ],
)
def test_markers_are_read_without_importing_the_test(tmp_path: Path, decorators: str, marks: list[str]) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_it.py").write_text(f"import no_such_module\n\n{decorators}\ndef test_data_20_a_b() -> None: ...\n")

    found = list(marked_tests(folder))

    assert [test.mark for test in found] == marks
    assert {test.link for test in found} <= {"[a b](../tests/test_it.py)"}


def test_a_page_without_the_sections_is_an_error() -> None:
    with pytest.raises(ValueError, match="a page needs <!-- guarantees --> and <!-- /guarantees --> once each"):
        page("# Guarantees\n")
