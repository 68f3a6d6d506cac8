"""Whether a dependency hands a requirement back in place of applying it, read from its source.

FastAPI accepts any value from a dependency, so `Depends(lambda: require_user)` checks nobody. Only the expressions
after `return` and `yield` are read, and none of them is run. Names, attributes, subscripts, conditions and calls of
functions that make requirements are followed. If they do not tell, or the source is missing, the answer is no.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import functools
import inspect
import sys
import tokenize
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, TypeAlias

from ..requirements import UNAPPLIED, Requirement

__all__ = ["hands_back_requirement"]

_Definition: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_UNKNOWN: Final = object()
_MADE: Final = Requirement()  # stands for any requirement that the function would make
_CACHED: Final = type(functools.cache(len))
_DEEPEST: Final = 5  # calls of the application's functions, one within another


def hands_back_requirement(call: Any, given: Mapping[str, Any] | None = None, depth: int = 0) -> bool:
    """Whether a dependency certainly hands back, on one of its paths, a requirement that nobody applied.

    Args:
        call: the dependency.
        given: the arguments of the dependency that are known, by name.
        depth: how many calls from one function into another were followed so far.
    """
    if isinstance(call, (*UNAPPLIED, type)) or depth > _DEEPEST:
        return False
    if isinstance(call, functools.partial):
        return hands_back_requirement(call.func, _bound(call.func, call.args, call.keywords), depth)
    if isinstance(call, _CACHED):
        return hands_back_requirement(call.__wrapped__, given, depth)
    if isinstance(call, MethodType):
        return hands_back_requirement(call.__func__, _bound(call.__func__, (call.__self__,), given or {}), depth)
    if not isinstance(call, FunctionType):  # an object that can be called
        method = inspect.getattr_static(type(call), "__call__", None)
        return isinstance(method, FunctionType) and hands_back_requirement(MethodType(method, call), given, depth)
    definition = _definition_of(call.__code__)
    if definition is None:
        return False
    reader = _Reader(call, definition, given or {}, depth)
    return any(isinstance(reader.value(node), UNAPPLIED) for node in reader.handed_back())


def _bound(function: Any, positional: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    code = getattr(function, "__code__", None)
    names = () if code is None else code.co_varnames[: code.co_argcount]
    return {**dict(zip(names, positional, strict=False)), **named}


def _definition_of(code: CodeType) -> _Definition | None:
    """The definition that a function was compiled from; None if its source is missing or if several could be meant."""
    found = [node for node in _definitions(code.co_filename) if _is_of(node, code)]
    if len(found) > 1:  # several lambdas on one line: they differ in their columns
        places = set(code.co_positions())
        found = [node for node in found if isinstance(node, ast.Lambda) and _place(node.body) in places]
    return found[0] if len(found) == 1 else None


@functools.lru_cache(maxsize=64)
def _definitions(filename: str) -> tuple[_Definition, ...]:
    try:
        with tokenize.open(filename) as file:
            tree = ast.parse(file.read())
    except (OSError, SyntaxError, ValueError):
        return ()
    return tuple(node for node in ast.walk(tree) if isinstance(node, _Definition))


def _is_of(node: _Definition, code: CodeType) -> bool:
    if isinstance(node, ast.Lambda):
        return (code.co_name, code.co_firstlineno) == ("<lambda>", node.lineno)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return (code.co_name, code.co_firstlineno) == (node.name, first)


def _place(node: ast.expr) -> tuple[int, int | None, int, int | None]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset


class _Reader:
    """Tells which values the expressions of one function stand for."""

    def __init__(self, function: FunctionType, node: _Definition, given: Mapping[str, Any], depth: int) -> None:
        self._depth = depth
        self._is_lambda = isinstance(node, ast.Lambda)
        self._nodes = list(_own_nodes([node.body] if isinstance(node, ast.Lambda) else node.body))
        own = (*function.__code__.co_varnames, *function.__code__.co_cellvars)
        self._known = {**_outer_names(function), **dict.fromkeys(own, _UNKNOWN), **given}
        self._assigned = self._assignments()

    def handed_back(self) -> Iterator[ast.expr]:
        """The expressions after `return` and `yield`."""
        for node in self._nodes:
            if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
                yield node.value
        if self._is_lambda and isinstance(self._nodes[0], ast.expr):
            yield self._nodes[0]

    def value(self, node: ast.AST) -> Any:
        """The value that an expression stands for on one of its paths, or `_UNKNOWN`."""
        match node:
            case ast.Name():
                return self._named(node.id)
            case ast.Attribute():
                return _attribute(self.value(node.value), node.attr)
            case ast.Subscript():
                return _item(self.value(node.value), node.slice)
            case ast.NamedExpr():
                return self.value(node.value)
            case ast.IfExp():
                return _first_requirement([self.value(node.body), self.value(node.orelse)])
            case ast.BoolOp():
                return _first_requirement([self.value(each) for each in node.values])
            case ast.Call(func=ast.Attribute(value=of, attr="get"), args=[index, *_]) if type(self.value(of)) is dict:
                return _item(self.value(of), index)
            case ast.Call():
                return self._made_by(self.value(node.func), is_awaited=False)
            case ast.Await(value=ast.Call(func=called)):
                return self._made_by(self.value(called), is_awaited=True)
        return _UNKNOWN

    def _named(self, name: str) -> Any:
        if name not in self._assigned:
            return self._known.get(name, _UNKNOWN)
        expressions = self._assigned.pop(name)  # a name that is assigned from itself is unknown
        self._known.pop(name, None)
        values = [self.value(each) for each in expressions]
        self._assigned[name] = expressions
        return values[0] if values and (len(values) == 1 or all(isinstance(v, UNAPPLIED) for v in values)) else _UNKNOWN

    def _made_by(self, call: Any, *, is_awaited: bool) -> Any:
        if isinstance(call, Requirement):
            return _UNKNOWN  # it is applied; a forgotten `await` is noticed during the request
        if isinstance(call, UNAPPLIED) or (isinstance(call, type) and issubclass(call, Requirement)):
            return _MADE
        if not isinstance(call, FunctionType | MethodType | _CACHED) or inspect.isgeneratorfunction(call):
            return _UNKNOWN
        is_run = is_awaited is inspect.iscoroutinefunction(call)
        return _MADE if is_run and hands_back_requirement(call, depth=self._depth + 1) else _UNKNOWN

    def _assignments(self) -> dict[str, list[ast.expr]]:
        """The expressions that each local name is assigned, none if the name is also bound in another way."""
        assigned: dict[str, list[ast.expr]] = {}
        simple: set[ast.AST] = set()
        for node in self._nodes:
            match node:
                case ast.Assign(targets=[ast.Name() as target], value=value):
                    pass
                case ast.AnnAssign(target=ast.Name() as target, value=ast.expr() as value):
                    pass
                case ast.NamedExpr(target=target, value=value):
                    pass
                case ast.Import() | ast.ImportFrom():
                    self._known.update(_imported(node))
                    continue
                case _:
                    continue
            simple.add(target)
            assigned.setdefault(target.id, []).append(value)
        names = [node for node in self._nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        return assigned | {name.id: [] for name in names if name not in simple}


def _own_nodes(body: list[ast.stmt] | list[ast.expr]) -> Iterator[ast.AST]:
    """The nodes of a function, without those of functions and classes in it."""
    pending: list[ast.AST] = list(body)
    while pending:
        node = pending.pop(0)
        yield node
        if not isinstance(node, (*_Definition.__args__, ast.ClassDef)):
            pending += ast.iter_child_nodes(node)


def _outer_names(function: FunctionType) -> dict[str, Any]:
    names = {**vars(builtins), **function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # it is not assigned yet
            names[name] = cell.cell_contents
    return names


def _imported(node: ast.Import | ast.ImportFrom) -> dict[str, Any]:
    """The names that an import within a function binds, where the module is imported already."""
    if isinstance(node, ast.ImportFrom):
        module = sys.modules.get(node.module or "") if not node.level else None
        return {each.asname or each.name: _attribute(module, each.name) for each in node.names}
    return {each.asname or each.name.partition(".")[0]: _module(each) for each in node.names}


def _module(alias: ast.alias) -> Any:
    return sys.modules.get(alias.name if alias.asname else alias.name.partition(".")[0], _UNKNOWN)


def _attribute(value: Any, name: str) -> Any:
    if isinstance(value, ModuleType):
        return vars(value).get(name, _UNKNOWN)
    if isinstance(value, Requirement):
        return getattr(value, name, _UNKNOWN)
    found = _UNKNOWN if value is _UNKNOWN else inspect.getattr_static(value, name, _UNKNOWN)
    return MethodType(found, value) if isinstance(found, FunctionType) and not isinstance(value, type) else found


def _item(container: Any, index: ast.expr) -> Any:
    if type(container) not in (dict, list, tuple):
        return _UNKNOWN
    if isinstance(index, ast.Constant):
        with contextlib.suppress(LookupError, TypeError):
            return container[index.value]
        return _UNKNOWN
    values = list(container.values() if isinstance(container, dict) else container)
    return values[0] if values and all(isinstance(each, UNAPPLIED) for each in values) else _UNKNOWN


def _first_requirement(values: list[Any]) -> Any:
    return next((value for value in values if isinstance(value, UNAPPLIED)), _UNKNOWN)
