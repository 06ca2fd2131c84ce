"""Detach keys: the key strokes that end an attachment and leave the program running."""

from __future__ import annotations

from ..errors import InvalidArgument

DEFAULT_KEYS = "ctrl-p,ctrl-q"
_CONTROL = {f"ctrl-{chr(letter)}": letter - 96 for letter in range(ord("a"), ord("z") + 1)} | {
    "ctrl-@": 0, "ctrl-[": 27, "ctrl-\\": 28, "ctrl-]": 29, "ctrl-^": 30, "ctrl-_": 31, "DEL": 127,
}  # fmt: skip


def parse(text: str, named: str = "detach") -> bytes:
    """Bytes of a comma-separated list of keys (`ctrl-p,ctrl-q`, `a`); InvalidArgument in Docker's words.

    `named`: how Docker calls them there: those of an exec are `escape` keys.
    """
    keys = bytearray()
    for key in (text or DEFAULT_KEYS).split(","):
        if len(key) == 1 and key.isascii():
            keys += key.encode()
        elif key in _CONTROL:
            keys.append(_CONTROL[key])
        else:
            raise InvalidArgument(f"Invalid {named} keys ({text}) provided")
    return bytes(keys)


class DetachKeys:
    """Looks for the sequence in what the user types."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the sequence is complete; a beginning of it is held back."""
        data = self._held + data
        self._held = b""
        place = data.find(self._keys)
        if place >= 0:
            return data[:place], True
        for length in range(min(len(self._keys) - 1, len(data)), 0, -1):
            if data.endswith(self._keys[:length]):
                self._held = data[-length:]
                return data[:-length], False
        return data, False
