"""Removal of images: Docker's rules of untagging and deleting, and prune."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from ..errors import Conflict, NotFound
from ..model.filters import Filters, flag, labelled, moment
from ..oci import digest as digests
from ..oci import platform as platforms
from ..oci.platform import Platform
from ..oci.reference import Reference
from . import attestations, variants
from .archive import check_platform
from .images import Images
from .record import Deleted, Image, ImageUser, Removal


class Remover(Struct, frozen=True):
    """Removes images while `users`, the engine's containers, hold some of them."""

    images: Images
    users: Sequence[ImageUser]

    def remove(self, ref: str, *, force: bool, prune_parents: bool = True) -> Removal:
        """`docker rmi`: untag, and delete when the last name goes. Raises NotFound and Conflict in Docker's words."""
        image = self.images.get(ref)
        others = variants.siblings(self.images, image.id)
        if _names_id(image.id, ref):
            removal = self._untag_all_of_id(image, force)
        else:
            removal = self._untag(image, ref, force)
            if self.images.by_id(image.id).references:
                return removal
        return removal + self._delete(image.id, force=force, prune=prune_parents) + self._drop_variants(others)

    def remove_platforms(self, ref: str, wanted: Sequence[Platform], *, force: bool) -> Removal:
        """`docker rmi --platform`: single platforms of an index, for all its names; the others stay, and the names.

        As Docker's, it must be forced. Raises NotFound and Conflict.
        """
        image = self.images.get(ref)
        if variants.index_of(self.images, image) is None:
            for platform in wanted:
                check_platform(ref, image.config.platform, platform)
            return self.remove(ref, force=force)
        if not force:
            raise Conflict(
                "Content will be removed from all images referencing this variant. Use —-force to force delete."
            )
        doomed = [self._of_platform(image, ref, platform) for platform in wanted]
        for one in doomed:
            self._refuse(one, force=True)
        total = Removal()
        for one in doomed:
            self._pass_names_on(one, {other.id for other in doomed})
            removal = self._delete(one.id, force=True, prune=False)
            untagged = tuple(record for record in removal.records if record.kind == "untagged")
            total += Removal((*untagged, Deleted("deleted", one.manifest, one.id)), removal.freed)
        return total

    def _of_platform(self, image: Image, ref: str, wanted: Platform) -> Image:
        try:
            return variants.for_platform(self.images, ref, wanted)
        except NotFound:
            raise NotFound(
                f"failed to delete platform {wanted} for image {image.id}: image with reference {ref} was found "
                "but does not provide any platform"
            ) from None

    def _pass_names_on(self, image: Image, doomed: set[str]) -> None:
        """The names of an image that goes belong to the best that is left of its index."""
        left = [self.images.by_id(other) for other in variants.siblings(self.images, image.id) if other not in doomed]
        if not left:
            return
        heir = min(left, key=_strangeness)
        for tag in image.tags:
            self.images.tag(heir.id, tag, variants.index_digest(self.images, tag.familiar))
        for name in image.digests:
            self.images.add_digest(heir.id, name, name.digest)

    def _drop_variants(self, others: Sequence[str]) -> Removal:
        """The other platforms of an index go with its last name, where nothing uses them."""
        kept, total = variants.kept_by_siblings(self.images), Removal()
        for image_id in others:
            if image_id not in kept and self._is_there(image_id) and not self.images.by_id(image_id).references:
                total += self._delete(image_id, force=False, prune=False, quiet=True)
        return total

    def _untag(self, image: Image, ref: str, force: bool) -> Removal:
        user = next((user for user in self.users if user.image_id == image.id), None)
        if user and not force and _single_reference(image.references):
            raise Conflict(
                f"conflict: unable to remove repository reference {quoted(ref)} (must force) - container "
                f"{user.container_id[:12]} is using its referenced image {digests.short(image.id)}"
            )
        target = self.images.reference(ref)
        target = target.with_digest(target.digest) if target.digest else target
        untagged = [Deleted("untagged", target.familiar, image.id)] if self.images.untag(target) else []
        if not target.digest and not any(tag.name == target.name for tag in self.images.by_id(image.id).tags):
            stale = [digest for digest in image.digests if digest.name == target.name]
            # They go with the tag: no event tells of them.
            untagged += [Deleted("untagged", digest.familiar, "") for digest in stale if self.images.untag(digest)]
        return Removal(tuple(untagged))

    def _untag_all_of_id(self, image: Image, force: bool) -> Removal:
        if not _single_reference(image.references):
            return Removal()
        self._refuse(image, force=force, ignore_references=True)
        removed = [name for name in image.references if self.images.untag(name)]
        return Removal(tuple(Deleted("untagged", name.familiar, image.id) for name in removed))

    def _delete(self, image_id: str, *, force: bool, prune: bool, quiet: bool = False) -> Removal:
        image = self.images.by_id(image_id)
        try:
            self._refuse(image, force=force)
        except Conflict:
            if quiet:
                return Removal()
            raise
        names = [name for name in image.references if self.images.untag(name)]
        stated = attestations.blobs_of(self.images, image_id)
        index = variants.index_of(self.images, image)
        self.images.forget(image)
        untagged = tuple(Deleted("untagged", name.familiar, image_id) for name in names)
        removal = Removal((*untagged, Deleted("deleted", image_id, image_id))) + self._drop_content(
            image, index, stated
        )
        if prune and image.parent and self._is_there(image.parent):
            removal += self._delete(image.parent, force=False, prune=True, quiet=True)
        return removal

    def _is_there(self, image_id: str) -> bool:
        try:
            self.images.by_id(image_id)
        except NotFound:
            return False
        return True

    def _refuse(self, image: Image, *, force: bool, ignore_references: bool = False) -> None:
        for hard, message in self._conflicts(image, ignore_references):
            if hard or not force:
                how = "cannot be forced" if hard else "must be forced"
                raise Conflict(f"conflict: unable to delete {digests.short(image.id)} ({how}) - {message}")

    def _conflicts(self, image: Image, ignore_references: bool) -> list[tuple[bool, str]]:
        found = []
        users = [user for user in self.users if user.image_id == image.id]
        if self.images.children(image.id):
            found.append((True, "image has dependent child images"))
        found += [
            (True, f"image is being used by running container {user.container_id[:12]}")
            for user in users
            if user.running
        ]
        if image.references and not ignore_references:
            found.append((False, "image is referenced in multiple repositories"))
        found += [
            (False, f"image is being used by stopped container {user.container_id[:12]}")
            for user in users
            if not user.running
        ]
        return found

    def _drop_content(self, image: Image, index: variants.KeptIndex | None, stated: Sequence[str]) -> Removal:
        """What only this image had."""
        blobs = (image.id, image.manifest, *stated, *([index.digest] if index else ()))
        gone = self.images.release(image.layers, blobs)
        removed = tuple(Deleted("deleted", layer.chain_id) for layer in gone)
        return Removal(removed, sum(layer.size for layer in gone))

    def prune(self, filters: Filters) -> Removal:
        """`docker image prune`: dangling images, or all unused ones with `dangling=false`."""
        dangling_only = flag(filters, "dangling") is not False
        total = Removal()
        used = {user.image_id for user in self.users}
        if dangling_only:
            used |= variants.kept_by_siblings(self.images)
        for image in self.images.all():
            if not self._is_there(image.id):
                continue  # it went with another platform's
            if image.id in used or self.images.children(image.id) or not _prunable(image, filters):
                continue
            if dangling_only and image.tags:
                continue
            total += self._prune_one(image)
        return total

    def _prune_one(self, image: Image) -> Removal:
        total = Removal()
        for ref in [name.familiar for name in image.references] or [digests.encoded(image.id)]:
            try:
                total += self.remove(ref, force=False)
            except (Conflict, NotFound):
                continue  # a name that went with another one, or a container that came meanwhile
        return total


def _strangeness(image: Image) -> int:
    """How little an image's platform is this host's."""
    rank = platforms.rank(platforms.host(), image.config.platform)
    return 1000 if rank is None else rank


def quoted(text: str) -> str:
    """As Go's %q writes plain text."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _prunable(image: Image, filters: Filters) -> bool:
    until, unused_since = moment(filters, "until"), moment(filters, "unused-since")
    return (
        (until is None or image.created_at <= until)
        and (unused_since is None or image.used_at <= unused_since)
        and labelled(image.labels, filters)
    )


def _names_id(image_id: str, ref: str) -> bool:
    return image_id.startswith(ref) or digests.encoded(image_id).startswith(ref)


def _single_reference(references: Sequence[Reference]) -> bool:
    """At most one tag, and every digest in the same repository."""
    tags = [name for name in references if not name.digest]
    return len(tags) <= 1 and len({name.name for name in references}) <= 1
