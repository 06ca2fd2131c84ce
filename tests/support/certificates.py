"""Certificates for tests of TLS."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_certificates(directory: Path, host: str = "10.99.0.1") -> None:
    """A CA with a server's (at `host`) and a client's certificate, and a stranger's client certificate."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    for authority, names in (("ca", ("server", "client")), ("strange", ("stranger",))):
        openssl(
            "req", "-x509", *key, "-subj", f"/CN={authority}", "-keyout", f"{authority}.key", "-out", f"{authority}.pem"
        )
        for name in names:
            alternative = ["-addext", f"subjectAltName=IP:{host},DNS:localhost"]
            openssl("req", *key, *alternative, "-subj", f"/O={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
            signed = [
                "-CA",
                f"{authority}.pem",
                "-CAkey",
                f"{authority}.key",
                "-CAcreateserial",
                "-copy_extensions",
                "copy",
            ]
            openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")
