"""What an idle daemon does without, and has as soon as it is used."""

from __future__ import annotations

import subprocess
import sys

BEGIN = """
import sys
from sampan.daemon import imports
imports.defer()
import sampan.daemon.serve, sampan.engine.recover
"""


def _modules(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", f"{BEGIN}{code}\nprint(*sys.modules)"], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout.split()


def test_an_idle_daemon_has_neither_openssl_nor_a_client_of_registries() -> None:
    assert not {"_ssl", "_hashlib", "aiohttp", "cryptography", "http.client", "email"} & {*_modules("")}


def test_a_module_that_others_import_at_their_top_is_there_when_it_is_used() -> None:
    code = "import ssl, asyncio; assert asyncio.sslproto.SSLProtocol and asyncio.sslproto.ssl.SSLContext"
    assert "_ssl" in _modules(f"{code} is sys.modules['ssl'].SSLContext")


def test_threads_that_use_a_module_at_once_have_all_of_it() -> None:
    code = """
import hashlib, threading
ready, digests = threading.Barrier(8), []
def digest():
    ready.wait()
    digests.append(hashlib.sha256(b"").hexdigest()[:8])
threads = [threading.Thread(target=digest) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
assert digests == ["e3b0c442"] * 8
"""
    assert "_hashlib" in _modules(code)


def test_a_module_that_is_there_has_its_own_names_only() -> None:
    _modules("import hashlib\ntry: hashlib.nothing\nexcept AttributeError: pass\nelse: raise SystemExit(1)")
