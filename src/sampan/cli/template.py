"""Go's template language for `--format`: the parser, which turns a template into Python closures.

Supported: fields, variables, pipes, parentheses, if/else if/else, range (with else, break, continue), with, define,
template, block, comments, trim markers, and the functions of `template_functions`.
"""

from __future__ import annotations

from . import template_functions
from .template_lexer import Piece, TemplateSyntaxError, Token, pieces, unquote
from .template_values import NO_VALUE, TemplateError, field_of, go_text, iterate, truth

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Expression = Callable[["Scope"], Any]
    Node = Callable[["Scope"], None]
    Functions = Mapping[str, Callable[..., Any]]

__all__ = ["Template", "TemplateError", "TemplateSyntaxError"]


class Scope:
    """Dot, variables and what has been written while a template runs."""

    __slots__ = ("dot", "out", "templates", "variables")

    def __init__(self, dot: Any, out: list[str], templates: dict[str, Node]) -> None:
        self.dot, self.out, self.templates = dot, out, templates
        self.variables: list[tuple[str, Any]] = [("$", dot)]

    def look_up(self, name: str) -> Any:
        return next(value for known, value in reversed(self.variables) if known == name)

    def assign(self, name: str, value: Any) -> None:
        for index in range(len(self.variables) - 1, -1, -1):
            if self.variables[index][0] == name:
                self.variables[index] = (name, value)
                return


class LoopBreak(Exception):
    """`{{break}}`"""


class LoopContinue(Exception):
    """`{{continue}}`"""


class Template:
    """A parsed template; `render(data)` may be called any number of times."""

    def __init__(self, source: str, functions: Functions = template_functions.FUNCTIONS) -> None:
        parser = _Parser(list(pieces(source)), functions)
        self._root = parser.parse()
        self._templates = parser.templates

    def render(self, data: Any) -> str:
        out: list[str] = []
        self._root(Scope(data, out, self._templates))
        return "".join(out)


def _sequence(nodes: list[Node]) -> Node:
    def run(scope: Scope) -> None:
        for node in nodes:
            node(scope)

    return run


def _text(text: str) -> Node:
    return lambda scope: scope.out.append(text)


def _scoped(body: Node, scope: Scope, dot: Any) -> None:
    """Run with another dot; variables declared inside end with it."""
    outer, depth = scope.dot, len(scope.variables)
    scope.dot = dot
    try:
        body(scope)
    finally:
        scope.dot = outer
        del scope.variables[depth:]


class _Parser:
    """Recursive descent over pieces; `_tokens` are those of the action at hand."""

    def __init__(self, source: list[Piece], functions: Functions) -> None:
        self._pieces, self._functions = source, functions
        self._position = 0
        self._tokens: list[Token] = []
        self._names: list[str] = ["$"]
        self._loops = 0
        self.templates: dict[str, Node] = {}

    def parse(self) -> Node:
        body, end = self._block()
        if end:
            raise self._error(f"unexpected {{{{{end}}}}}", self._tokens)
        return body

    def _error(self, message: str, tokens: list[Token] | None = None) -> TemplateSyntaxError:
        line = tokens[0].line if tokens else 1
        return TemplateSyntaxError(f"template: :{line}: {message}")

    # -- blocks

    def _block(self) -> tuple[Node, str]:
        """Nodes up to `end` or `else`; which of them came, with its other tokens still in `_tokens`."""
        nodes: list[Node] = []
        while self._position < len(self._pieces):
            piece = self._pieces[self._position]
            self._position += 1
            if piece.tokens is None:
                nodes.append(_text(piece.text))
                continue
            self._tokens = piece.tokens
            if not self._tokens:
                raise self._error("missing value for command")
            word = self._tokens[0].text
            if word in ("end", "else"):
                return _sequence(nodes), word
            nodes.append(self._action(word))
        return _sequence(nodes), ""

    def _action(self, word: str) -> Node:
        keyword = KEYWORDS.get(word)
        if keyword is None or self._tokens[0].kind != "name":
            return self._output()
        opening = self._tokens.pop(0)
        return keyword(self, opening)

    def _output(self) -> Node:
        declares = len(self._tokens) > 1 and self._tokens[1].kind in ("declare", "assign")
        value = self._pipeline()
        self._finish()
        if declares:
            return lambda scope: void(value(scope))
        return lambda scope: scope.out.append(go_text(value(scope)))

    def _finish(self) -> None:
        if self._tokens:
            raise self._error(f"unexpected <{self._tokens[0].text}> in operand", self._tokens)

    def _body(self, opening: Token) -> tuple[Node, str]:
        body, end = self._block()
        if not end:
            raise TemplateSyntaxError(f"template: :{self._last_line()}: unexpected EOF")
        return body, end

    def _last_line(self) -> int:
        lines = [token.line for piece in self._pieces for token in piece.tokens or ()]
        return max(lines, default=1)

    def _branches(self, opening: Token) -> tuple[Expression, Node, Node]:
        """Condition, body and the else part of if and with; `else if` and `else with` nest."""
        depth = len(self._names)
        condition = self._pipeline()
        self._finish()
        body, end = self._body(opening)
        otherwise = _sequence([])
        if end == "else":
            self._tokens.pop(0)
            if self._tokens and self._tokens[0].text in ("if", "with"):
                otherwise = self._action(self._tokens[0].text)
            else:
                otherwise, _ = self._body(opening)
        del self._names[depth:]
        return condition, body, otherwise

    def if_(self, opening: Token) -> Node:
        condition, body, otherwise = self._branches(opening)

        def run(scope: Scope) -> None:
            depth = len(scope.variables)
            (body if truth(condition(scope)) else otherwise)(scope)
            del scope.variables[depth:]

        return run

    def with_(self, opening: Token) -> Node:
        condition, body, otherwise = self._branches(opening)

        def run(scope: Scope) -> None:
            depth = len(scope.variables)
            value = condition(scope)
            if truth(value):
                _scoped(body, scope, value)
            else:
                otherwise(scope)
            del scope.variables[depth:]

        return run

    def range_(self, opening: Token) -> Node:
        depth = len(self._names)
        names = self._range_names()
        self._names.extend(names)
        self._loops += 1
        items, body, otherwise = self._branches(opening)
        self._loops -= 1
        del self._names[depth:]
        return lambda scope: _run_range(scope, names, items, body, otherwise)

    def _range_names(self) -> list[str]:
        """`$v :=` or `$i, $v :=` in front of the pipeline."""
        kinds = [token.kind for token in self._tokens[:4]]
        if kinds[:2] == ["variable", "declare"]:
            names, taken = [self._tokens[0].text], 2
        elif kinds == ["variable", "comma", "variable", "declare"]:
            names, taken = [self._tokens[0].text, self._tokens[2].text], 4
        else:
            return []
        del self._tokens[:taken]
        return names

    def break_(self, opening: Token) -> Node:
        return self._jump("break", LoopBreak)

    def continue_(self, opening: Token) -> Node:
        return self._jump("continue", LoopContinue)

    def _jump(self, word: str, exception: type[Exception]) -> Node:
        if not self._loops:
            raise self._error(f"{{{{{word}}}}} outside {{{{range}}}}", self._tokens)
        self._finish()

        def run(scope: Scope) -> None:
            raise exception

        return run

    def define(self, opening: Token) -> Node:
        name = self._template_name()
        self._finish()
        self.templates[name], _ = self._body(opening)
        return _sequence([])

    def template(self, opening: Token) -> Node:
        name = self._template_name()
        data = self._pipeline() if self._tokens else (lambda scope: None)
        return lambda scope: _call_template(scope, name, data(scope))

    def block(self, opening: Token) -> Node:
        call = self.template(opening)
        name_body, _ = self._body(opening)
        self.templates.setdefault(self._block_name, name_body)
        return call

    def _template_name(self) -> str:
        if not self._tokens or self._tokens[0].kind not in ("string", "raw"):
            raise self._error("unexpected template name", self._tokens)
        self._block_name = unquote(self._tokens.pop(0).text)
        return self._block_name

    # -- expressions

    def _pipeline(self) -> Expression:
        declared = self._declaration()
        value = self._command(None)
        while self._tokens and self._tokens[0].kind == "pipe":
            self._tokens.pop(0)
            value = self._command(value)
        if declared is None:
            return value
        name, is_new = declared
        if is_new:
            self._names.append(name)
        return lambda scope: _store(scope, name, is_new, value(scope))

    def _declaration(self) -> tuple[str, bool] | None:
        kinds = [token.kind for token in self._tokens[:2]]
        if kinds not in (["variable", "declare"], ["variable", "assign"]):
            return None
        variable, operator = self._tokens[:2]
        del self._tokens[:2]
        return variable.text, operator.kind == "declare"

    def _command(self, piped: Expression | None) -> Expression:
        """An operand with its arguments; `piped` becomes the last one."""
        if not self._tokens or self._tokens[0].kind in ("pipe", "close"):
            raise self._error("missing value for command", self._tokens)
        first = self._tokens[0]
        if first.kind == "name" and first.text not in CONSTANTS:
            return self._function(self._tokens.pop(0), piped)
        callee = self._operand()
        arguments = self._arguments()
        if piped is None and not arguments:
            return callee
        if piped is not None:
            arguments.append(piped)
        if first.kind != "field":
            raise self._error(f"can't give argument to non-function {first.text}", [first])
        return lambda scope: _call_value(callee(scope), [argument(scope) for argument in arguments], first)

    def _arguments(self) -> list[Expression]:
        arguments = []
        while self._tokens and self._tokens[0].kind not in ("pipe", "close"):
            arguments.append(self._operand())
        return arguments

    def _function(self, name: Token, piped: Expression | None) -> Expression:
        function = self._functions.get(name.text)
        if function is None and name.text not in ("and", "or"):
            raise self._error(f'function "{name.text}" not defined', [name])
        arguments = self._arguments()
        if piped is not None:
            arguments.append(piped)
        if function is None:
            return _short_circuit(arguments, name.text == "or", name)
        return lambda scope: _call_function(function, name, [argument(scope) for argument in arguments])

    def _operand(self) -> Expression:
        token = self._tokens.pop(0)
        if token.kind == "open":
            base = self._pipeline()
            if not self._tokens or self._tokens.pop(0).kind != "close":
                raise self._error("unclosed left paren", [token])
        else:
            base = self._term(token)
        path = []
        while self._tokens and self._tokens[0].kind == "field" and not self._tokens[0].spaced:
            path.append(self._tokens.pop(0))
        for field in path:
            base = _field(base, field, _shown(token, path))
        return base

    def _term(self, token: Token) -> Expression:
        if token.kind in ("string", "raw"):
            text = unquote(token.text)
            return lambda scope: text
        if token.kind in ("number", "char"):
            number = _number(token)
            return lambda scope: number
        if token.kind == "dot":
            return lambda scope: scope.dot
        if token.kind == "field":
            return _field(lambda scope: scope.dot, token, token.text)
        if token.kind == "variable":
            return self._variable(token.text, token)
        if token.text in CONSTANTS:
            constant = CONSTANTS[token.text]
            return lambda scope: constant
        function = self._functions.get(token.text)
        if function is None:
            raise self._error(f'function "{token.text}" not defined', [token])
        return lambda scope: _call_function(function, token, [])

    def _variable(self, name: str, token: Token) -> Expression:
        if name not in self._names:
            raise self._error(f'undefined variable "{name}"', [token])
        return lambda scope: scope.look_up(name)


CONSTANTS = {"true": True, "false": False, "nil": None}
KEYWORDS: dict[str, Callable[[_Parser, Token], Node]] = {
    "if": _Parser.if_,
    "with": _Parser.with_,
    "range": _Parser.range_,
    "break": _Parser.break_,
    "continue": _Parser.continue_,
    "define": _Parser.define,
    "template": _Parser.template,
    "block": _Parser.block,
}


def void(value: Any) -> None:
    """A declaration writes nothing."""


def _store(scope: Scope, name: str, is_new: bool, value: Any) -> Any:
    if is_new:
        scope.variables.append((name, value))
    else:
        scope.assign(name, value)
    return value


def _shown(token: Token, path: list[Token]) -> str:
    return "(…)" if token.kind == "open" else token.text + "".join(field.text for field in path)


def _number(token: Token) -> int | float:
    if token.kind == "char":
        return ord(unquote(token.text))
    try:
        return int(token.text, 0)
    except ValueError:
        return float(token.text)


def _field(base: Expression, token: Token, shown: str) -> Expression:
    def get(scope: Scope) -> Any:
        value = base(scope)
        try:
            return field_of(value, token.text[1:])
        except TemplateError as error:
            raise located(token, shown, str(error)) from None

    return get


def located(token: Token, shown: str, message: str) -> TemplateError:
    return TemplateError(f'template: :{token.line}:{token.column}: executing "" at <{shown}>: {message}')


def _call_value(callee: Any, arguments: list[Any], token: Token) -> Any:
    if not callable(callee):
        raise located(token, token.text, f"{token.text[1:]} has arguments but cannot be invoked as function")
    return callee(*arguments)


def _call_function(function: Callable[..., Any], name: Token, arguments: list[Any]) -> Any:
    try:
        return function(*(None if argument is NO_VALUE else argument for argument in arguments))
    except TemplateError as error:
        raise located(name, name.text, f"error calling {name.text}: {error}") from None
    except TypeError:
        raise located(name, name.text, f"wrong type or number of args for {name.text}") from None


def _short_circuit(arguments: list[Expression], stop_at: bool, name: Token) -> Expression:
    """`and` and `or` evaluate no more than they need."""

    def run(scope: Scope) -> Any:
        value: Any = None
        for argument in arguments:
            value = argument(scope)
            if truth(value) == stop_at:
                return value
        return value

    return run


def _run_range(scope: Scope, names: list[str], items: Expression, body: Node, otherwise: Node) -> None:
    pairs = iterate(items(scope))
    if not pairs:
        otherwise(scope)
        return
    for key, value in pairs:
        depth = len(scope.variables)
        scope.variables.extend(zip(names, (value,) if len(names) == 1 else (key, value), strict=False))
        try:
            _scoped(body, scope, value)
        except LoopContinue:
            continue
        except LoopBreak:
            break
        finally:
            del scope.variables[depth:]


def _call_template(scope: Scope, name: str, data: Any) -> None:
    node = scope.templates.get(name)
    if node is None:
        raise TemplateError(f'template: :1: template "{name}" not defined')
    node(Scope(data, scope.out, scope.templates))
