from __future__ import annotations

import hashlib
from collections import Counter

from demo.verify import Messages, compare, row_ids


def messages(*ids: str) -> Messages:
    return Counter(ids)


def test_one_message_per_row_is_ok() -> None:
    (found,) = compare({"p": ["1", "2"]}, {"p": messages("2", "1")}).values()
    assert found.ok
    assert (found.rows, found.messages, found.distinct) == (2, 2, 2)


def test_each_difference_is_counted_and_not_ok() -> None:
    assert compare({"p": ["1", "2"]}, {"p": messages("1")})["p"].missing == 1
    assert compare({"p": ["1"]}, {"p": messages("1", "1")})["p"].repeated == 1
    assert compare({"p": ["1"]}, {"p": messages("1", "2")})["p"].unexpected == 1
    assert compare({}, {"q": messages("1")})["q"].unexpected == 1
    swapped = compare({"p": ["1"], "q": ["2"]}, {"p": messages("2"), "q": messages("1")})
    assert not any(found.ok for found in swapped.values())
    for wrong in (messages("1"), messages("1", "1"), messages("1", "3"), messages()):
        assert not compare({"p": ["1", "2"]}, {"p": wrong})["p"].ok


def test_the_id_of_a_row_is_its_event_id_or_made_from_object_and_line() -> None:
    lines = [b'{"eventID": "e"}', b"", b'{"Keys": {}}', b"  "]
    made = hashlib.sha256(b'log/key\n3\n{"Keys": {}}').hexdigest()[:32]
    assert row_ids(lines, "log/key") == ["e", made]
