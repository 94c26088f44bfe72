"""`python -m cli` is `fanout`."""

from __future__ import annotations

from cli.main import main

main()
