"""What the flags ask of an image beside its contents: compression, media types, annotations, attestations."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from .command import CommandFailed

if TYPE_CHECKING:
    from .build_output import Output
    from .flags import Options

_PLACES = ("manifest", "index", "manifest-descriptor", "index-descriptor")
_TYPED = re.compile(r"([a-z-]+)(\[[A-Za-z0-9_/-]+\])?")


def form_of(options: Options, outputs: list[Output]) -> dict[str, str]:
    """The options of BuildKit's image exporter, for all outputs that are images."""
    forms = [output.form for output in outputs if output.is_image]
    if any(form != forms[0] for form in forms):
        raise CommandFailed("outputs with different options need builds of their own")
    found = dict(forms[0]) if forms else {}
    for text in options["annotation"]:
        found |= _annotation(text)
    found |= _attestations(options)
    if found and not forms:
        raise CommandFailed("annotations and attestations need an output that is an image")
    return found


def _annotation(text: str) -> dict[str, str]:
    """`[TYPE[PLATFORM],…:]KEY=VALUE`; without a type it is the manifest's."""
    key, equals, value = text.partition("=")
    if not equals:
        raise CommandFailed(
            f'ERROR: failed to build: parse annotations: invalid annotation "{text}", expected key=value'
        )
    places, colon, name = key.partition(":")
    found = {}
    for typed in places.split(",") if colon else ["manifest"]:
        match = _TYPED.fullmatch(typed)
        if match is None or match[1] not in _PLACES:
            raise CommandFailed(f'ERROR: failed to build: parse annotations: unknown annotation type "{typed}"')
        found[f"annotation-{typed}.{name if colon else key}"] = value
    return found


def _attestations(options: Options) -> dict[str, str]:
    """`--attest`, and the shorthands, which win."""
    found: dict[str, str] = {}
    shorthands = [f"type={kind},{_shorthand(options[kind])}" for kind in ("provenance", "sbom") if options[kind]]
    for text in [*options["attest"], *shorthands]:
        fields = {key: value for key, _, value in (part.partition("=") for part in next(csv.reader([text]))) if key}
        kind = fields.pop("type", "")
        if kind not in ("provenance", "sbom"):
            raise CommandFailed(f'ERROR: failed to build: unknown attestation type "{kind}"')
        found.pop(f"attest:{kind}", None)
        if fields.pop("disabled", "false") != "true":
            found[f"attest:{kind}"] = ",".join(f"{key}={value}" for key, value in fields.items())
    if "attest:sbom" in found:
        raise CommandFailed(
            "attestations of type sbom are not made here: `sampan image sbom` lists an image's packages"
        )
    return found


def _shorthand(text: str) -> str:
    return {"true": "", "1": "", "false": "disabled=true", "0": "disabled=true"}.get(text, text)
