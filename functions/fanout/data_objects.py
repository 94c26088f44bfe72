"""Which objects of a change log are data: one rule for planning, object events, audit, doctor and `make run`.

What is not ignored is data. If the job cannot read it, the run names it as a bad object.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

HIDDEN = "hidden name"
FOLDER_MARKER = "folder marker"
EXPORT_FILE = "file that a DynamoDB export writes beside its data"
TEMPORARY = "temporary name of an upload"
CHECKSUM = "checksum"
SYSTEM_FILE = "file of an operating system"
IGNORE_PATTERN = "IgnorePattern"

_NAMES = (
    (FOLDER_MARKER, re.compile(r".*_\$folder\$")),  # written by Hadoop
    # Source: "DynamoDB table export output format", DynamoDB developer guide. `_started` is a hidden name.
    (EXPORT_FILE, re.compile(r"manifest-(files|summary)\.(json|checksum|md5)")),
    (TEMPORARY, re.compile(r"~.*|.*~|.*\.(filepart|part|partial|tmp|temp|crdownload|swp)")),
    (CHECKSUM, re.compile(r".*\.(md5|sha1|sha224|sha256|sha384|sha512|crc|crc32|crc32c|crc64|crc64nvme|checksum)")),
    (CHECKSUM, re.compile(r"(md5|sha1|sha256|sha512|check)sums?(\.txt)?")),
    (SYSTEM_FILE, re.compile(r"thumbs\.db|desktop\.ini|ehthumbs\.db")),  # .DS_Store is a hidden name
)
"""Reason -> names in lower case, the last part of a key."""


def why_ignored(path: str, patterns: str = "") -> str | None:
    """The reason why an object is not data; None if it is data.

    Parameters
    ----------
    path
        The key after the provider's prefix. An object is hidden if a part of it begins with ``.``, or with ``_``
        unless it is a partition (``_day=1/``), as in Spark and Glue. Examples: ``_SUCCESS``, ``_temporary/0/part-1``.
    patterns
        The template's parameter IgnorePattern: patterns of names, separated by spaces.
    """
    if path.endswith("/"):
        return FOLDER_MARKER
    if any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.split("/")):
        return HIDDEN
    name = path.rpartition("/")[2]
    if any(fnmatchcase(name, pattern) for pattern in patterns.split()):
        return IGNORE_PATTERN
    return next((reason for reason, names in _NAMES if names.fullmatch(name.lower())), None)
