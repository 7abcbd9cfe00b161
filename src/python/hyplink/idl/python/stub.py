"""``.pyi`` from the text of a generated module: public names with their types, and no bodies."""

from __future__ import annotations

import ast

__all__ = ["stub"]


def stub(source: str) -> str:
    """The stub of a module. What begins with an underscore is nobody's business."""
    tree = ast.parse(source)
    tree.body = [node for item in tree.body for node in _keep(item)]
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    tree.body = [node for node in tree.body if _needed(node, used)]
    first = source.split("\n", 1)[0]
    return f"{first}\n# ruff: noqa\n{ast.unparse(tree)}\n"


def _needed(node: ast.stmt, used: set[str]) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom) and not _is_future(node):
        return any((a.asname or a.name) in used for a in node.names)
    return True


def _is_future(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def _keep(node: ast.stmt) -> list[ast.stmt]:
    if isinstance(node, ast.ClassDef):
        if node.name.startswith("_"):
            return []
        node.body = [kept for item in node.body for kept in _keep(item)] or [_dots()]
        return [node]
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if node.name.startswith("_") and not node.name.startswith("__"):
            return []
        text = ast.get_docstring(node, clean=False)
        node.body = [ast.Expr(ast.Constant(text))] if text else [_dots()]
        for arguments in (node.args.args, node.args.kwonlyargs):
            for argument in arguments:
                if argument.annotation is not None and _private(argument.annotation):
                    argument.annotation = ast.parse("_t.Any", mode="eval").body
        return [node]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        if node.target.id.startswith("_"):
            return []
        if "Final[" in ast.unparse(node.annotation) or not node.simple:
            node.value = None
        return [node]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        return [] if name.startswith("_") and name not in ("__all__", "__slots__") else [node]
    return [node]


def _private(annotation: ast.expr) -> bool:
    """Whether an annotation names a class of this module that the stub leaves out."""
    text = ast.unparse(annotation)
    return text.startswith("_") and "." not in text.split(" ")[0]


def _dots() -> ast.stmt:
    return ast.Expr(ast.Constant(...))
