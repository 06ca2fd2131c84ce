"""The file tree as it stands after a layer, with what that layer did to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct, field

from .contents import Entry, LayerContents

SAME, ADDED, CHANGED, REMOVED = " ", "A", "M", "D"


class Node(Struct):
    """A file or directory; `size` is that of all files below, those that the layer removed left out."""

    name: str
    path: str = ""
    size: int = 0
    mark: str = SAME
    is_directory: bool = False
    children: dict[str, Node] = field(default_factory=dict)

    def sorted(self) -> list[Node]:
        """The children, directories first."""
        return sorted(self.children.values(), key=lambda node: (not node.is_directory, node.name))


def tree(layers: Sequence[LayerContents], position: int) -> Node:
    """The tree after the layer of that position; what it removed is still in it, marked."""
    root = Node("", is_directory=True)
    for layer in layers[:position]:
        _apply(root, layer, is_shown=False)
    _apply(root, layers[position], is_shown=True)
    _sum(root)
    return root


def _apply(root: Node, layer: LayerContents, *, is_shown: bool) -> None:
    for path in layer.removed:
        _remove(root, path, is_shown)
    for directory in layer.opaque:
        node = _find(root, directory)
        for child in list(node.children) if node else ():
            _remove(root, f"{directory}/{child}".lstrip("/"), is_shown)
    for entry in layer.entries:
        _put(root, entry, is_shown)


def _put(root: Node, entry: Entry, is_shown: bool) -> None:
    node, is_new = _make(root, entry.path, ADDED if is_shown else SAME)
    is_new |= node.mark == REMOVED
    node.is_directory = entry.kind == "directory" or bool(node.children)
    node.size = entry.size
    if is_shown and (is_new or not node.is_directory):
        node.mark = ADDED if is_new else CHANGED


def _make(root: Node, path: str, mark: str) -> tuple[Node, bool]:
    """The node of a path; what is missing on the way is made with that mark."""
    node, is_new = root, False
    for part in path.split("/"):
        node.is_directory = True
        child = node.children.get(part)
        is_new = child is None
        if child is None:
            child = node.children[part] = Node(part, f"{node.path}/{part}".lstrip("/"), mark=mark)
        node = child
    return node, is_new


def _find(root: Node, path: str) -> Node | None:
    node: Node | None = root
    for part in filter(None, path.split("/")):
        node = node.children.get(part) if node else None
    return node


def _remove(root: Node, path: str, is_shown: bool) -> None:
    parent, _, name = path.rpartition("/")
    above = _find(root, parent)
    node = above.children.get(name) if above else None
    if above is None or node is None:
        return
    if is_shown:
        for each in walk(node):
            each.mark = REMOVED
    else:
        del above.children[name]


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for child in node.children.values():
        yield from walk(child)


def _sum(root: Node) -> None:
    """Sizes of directories, and their mark where something below changed; children before parents."""
    for node in reversed(list(walk(root))):
        if not node.is_directory:
            continue
        node.size = sum(child.size for child in node.children.values() if child.mark != REMOVED)
        if node.mark == SAME and any(child.mark != SAME for child in node.children.values()):
            node.mark = CHANGED
