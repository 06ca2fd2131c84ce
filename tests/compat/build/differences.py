"""Where we differ from BuildKit on purpose: (case, part) and why. A part is a key, or a key and a path below it."""

from __future__ import annotations

EXPLAINED: dict[tuple[str, str], str] = {
    (
        "copy-link-from",
        "tree dst",
    ): "--link makes its directories anew, as the reference says; dockerd's storage cannot",
    ("add-archives", "tree 3/a.tar.xz"): "xz archives are unpacked, as the reference says; the peer has no xz program",
    ("add-archives", "tree 3/c"): "the same",
    (
        "add-archives",
        "tree 4/d",
    ): "a directory that an archive implies belongs to --chown's owner as what is in it does",
    (
        "add-git-submodule",
        "tree l/.git",
    ): "names where the repository of the submodule was, which is gone here as there",
    ("add-git-submodule", "tree r/lib/.git"): "the same",
    ("add-git-submodule", "tree t/lib/.git"): "the same",
    ("context-git-submodule", "tree c/lib/.git"): "the same",
    (
        "context-archive",
        "tree c/a",
    ): "what is in a context belongs to root, whichever way it came; BuildKit keeps owners of fetched archives",
    ("context-archive", "tree c/Dockerfile"): "the same",
    ("context-archive", "tree c/d/b"): "the same",
    ("git-no-repository", "text"): "what git says is told on the same line",
    ("copy-several", "text"): "refused as the reference says; BuildKit lets the last file overwrite the others",
    ("chown-unknown", "text"): "an owner that is not there is refused; BuildKit takes root",
    ("missing-brace", "text"): "BuildKit names an undefined character",
    ("security", "text"): "--security is known here, and refused for want of the entitlement",
    ("run-exec-not-found", "text"): "127, as a container would end with; BuildKit shows the status of runc itself",
    ("copy-unknown-stage", "text"): "how a registry cannot be reached is told in other words",
}
