"""Bugs in Python modules, one at a time, addressed by function and expression and not by line.

An address such as `functions/fanout/ledger.py is_live: now < lease.expires_at -> now <= lease.expires_at` stays valid
until the expression itself changes.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from tests.mutants.record import Known

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
CALLS = {"max": "min", "min": "max", "any": "all", "all": "any"}
UNSEEN_OPTIONS = {"check", "encoding", "errors", "frozen", "kw_only", "slots", "strict"}
"""Keyword arguments that only guard against mistakes in the code itself."""
LENGTH = 100
"""Characters of an expression in an address."""


@dataclass(frozen=True)
class Mutation(Known):
    """One bug in one function or class of a module, or at its top, where `function` is "".

    Comments and positions don't count for `code`.

    Attributes
    ----------
    lines
        The lines of the statement, or of the part of a compound statement, that contains the bug.
    text
        Makes the whole mutated module.
    """

    lines: range = field(compare=False)
    text: Callable[[], str] = field(compare=False, repr=False)


@dataclass(frozen=True)
class _Site:
    """A node, and where it is in its parent."""

    parent: ast.AST
    field: str
    index: int | None
    node: ast.AST
    function: str
    owner: ast.AST
    statement: ast.AST

    def replace(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def mutations(file: str, text: str) -> Iterator[Mutation]:
    """Every mutation of a module.

    Parameters
    ----------
    file
        The module's path, for the addresses.
    text
        Its source.
    """
    tree = ast.parse(text)
    seen: Counter[tuple[str, str]] = Counter()
    sources: dict[ast.AST, str] = {}
    for site in list(_sites(tree, "", tree, tree)):
        if site.owner not in sources:
            sources[site.owner] = hashlib.sha256(ast.unparse(site.owner).encode()).hexdigest()[:12]
        source = sources[site.owner]
        for replacement in _replacements(site):
            change = _change(site, replacement)
            seen[site.function, change] += 1
            number = seen[site.function, change]
            shown = change if number == 1 else f"{change} #{number}"
            text_of = partial(_mutated, tree, site, replacement)
            yield Mutation(file, site.function, shown, source, _lines(site.statement), text_of)


def _mutated(tree: ast.Module, site: _Site, replacement: ast.AST) -> str:
    site.replace(replacement)
    try:
        return ast.unparse(tree)
    finally:
        site.replace(site.node)


def _change(site: _Site, replacement: ast.AST) -> str:
    if isinstance(site.node, ast.stmt):
        return f"delete {_short(site.node)}"
    context = f" in {_short(site.parent)}" if isinstance(site.node, ast.Constant | ast.Name) else ""
    return f"{_short(site.node)} -> {_short(replacement)}{context}"


def _short(node: ast.AST) -> str:
    shown = " ".join(ast.unparse(node).split())
    return shown if len(shown) <= LENGTH else shown[: LENGTH - 3] + "..."


def _lines(node: ast.AST) -> range:
    first, last = getattr(node, "lineno", 0), getattr(node, "end_lineno", 0)
    return range(first, last + 1)


def _sites(parent: ast.AST, function: str, owner: ast.AST, statement: ast.AST) -> Iterator[_Site]:
    for name, value in ast.iter_fields(parent):
        if name in ("annotation", "returns", "decorator_list", "type_params", "bases", "msg"):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or _is_left_alone(node):
                continue
            inside, whole = function, owner
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inside, whole = f"{function}.{node.name}".lstrip("."), node
            elif isinstance(parent, ast.Module):
                whole = node
            is_part = isinstance(node, ast.stmt) or (hasattr(statement, "body") and hasattr(node, "lineno"))
            part = node if is_part else statement
            yield _Site(parent, name, index, node, inside, whole, part)
            yield from _sites(node, inside, whole, part)


def _is_left_alone(node: ast.AST) -> bool:
    """Whether tests cannot notice a mutation in this node: texts, guards, code for type checkers only."""
    return (
        isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.keyword) and node.arg in UNSEEN_OPTIONS)
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    )


def _replacements(site: _Site) -> Iterator[ast.AST]:
    yield from _of_statements(site)
    if site.field in ("test", "ifs") and not isinstance(site.node, ast.BoolOp):
        yield ast.Constant(value=False)
        if not isinstance(site.parent, ast.While):
            yield ast.Constant(value=True)
    yield from _of_expressions(site)
    if isinstance(site.parent, ast.Return) and isinstance(site.node, ast.expr):
        yield from _of_results(site)


def _of_statements(site: _Site) -> Iterator[ast.AST]:
    node = site.node
    deleted = isinstance(node, ast.Raise | ast.AugAssign | ast.Continue | ast.Break | ast.Delete)
    deleted |= isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await)
    deleted |= isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute | ast.Subscript)
    if deleted:
        yield ast.Pass()


def _of_expressions(site: _Site) -> Iterator[ast.AST]:
    match site.node:
        case ast.Compare(ops=[ast.Is() | ast.IsNot()]) if isinstance(site.parent, ast.BoolOp):
            pass  # removing it is the same bug, or a smaller one
        case ast.Compare(left=left, ops=[operator], comparators=right):
            yield ast.Compare(left, [COMPARISONS[type(operator)]()], right)
        case ast.BoolOp(op=operator, values=values):
            for place in range(len(values)):
                rest = values[:place] + values[place + 1 :]
                yield rest[0] if len(rest) == 1 else ast.BoolOp(operator, rest)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in ARITHMETIC and not _is_text(left):
            yield ast.BinOp(left, ARITHMETIC[type(operator)](), right)
        case ast.Call(func=ast.Name(id=called), args=given, keywords=options) if called in CALLS:
            yield ast.Call(ast.Name(CALLS[called], ast.Load()), given, options)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(value=not value)
        case ast.Constant(value=int(value)) if site.function and not isinstance(site.owner, ast.ClassDef):
            yield ast.Constant(value=value + 1)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _of_results(site: _Site) -> Iterator[ast.AST]:
    """Replace a function's result by None, and a boolean by its opposite."""
    node = site.node
    returns = getattr(site.owner, "returns", None)
    if returns is not None and ast.unparse(returns) == "bool":
        if not isinstance(node, ast.Compare | ast.BoolOp | ast.UnaryOp | ast.Constant):
            yield ast.UnaryOp(ast.Not(), node)
    elif not isinstance(node, ast.Constant):
        yield ast.Constant(value=None)
