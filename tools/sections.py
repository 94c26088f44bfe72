"""Generated parts of a page that is otherwise written by hand: `<!-- name -->` to `<!-- /name -->`."""

from __future__ import annotations

from collections.abc import Mapping


def renewed(page: str, sections: Mapping[str, str]) -> str:
    """Return a page with its generated sections replaced.

    Parameters
    ----------
    page
        The whole page.
    sections
        Section name -> content. A content of several lines gets lines of its own; others stay in their sentence.

    Raises
    ------
    ValueError
        The page does not have exactly one section of that name.
    """
    for name, content in sections.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if page.count(begin) != 1 or page.count(end) != 1:
            raise ValueError(f"a page needs {begin} and {end} once each")
        before, _, rest = page.partition(begin)
        gap = "\n" if "\n" in content else ""
        page = f"{before}{begin}{gap}{content}{gap}{end}{rest.partition(end)[2]}"
    return page
