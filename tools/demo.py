"""`make demo`: from nothing to a running web service, then nothing again.

The daemon runs in a network namespace of its own, so that this machine's network stays as it is; the build reaches the
package mirrors through a small proxy.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.support import leaks
from tests.support.daemon import BIN, Daemon

ROOT = Path(__file__).parents[1]
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"


class Demo:
    """One daemon and the commands that a user would type."""

    def __init__(self) -> None:
        self.daemon = Daemon()
        self._helpers: list[subprocess.Popen[bytes]] = []

    def say(self, text: str) -> None:
        print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)

    def sampan(self, *args: str) -> str:
        """Type a command; its output is shown, a failure ends the demo."""
        print(f"$ sampan {' '.join(args)}", flush=True)
        result = self.daemon.sampan(*args, timeout=900)
        text = (result.out + result.err).rstrip()
        lines = text.splitlines()
        print("\n".join([*lines[:6], f"… {len(lines) - 12} lines …", *lines[-6:]] if len(lines) > 14 else lines))
        if result.status:
            raise SystemExit(f"sampan {args[0]} ended with status {result.status}")
        return result.out.rstrip("\n")

    def open_way_out(self) -> dict[str, str]:
        """Start the proxy; the environment that names it to programs on the daemon's host."""
        script, path = str(ROOT / "tools/proxy.py"), str(self.daemon.directory / "proxy")
        commands = [[sys.executable, script, "serve", path],
                    self.daemon.host.command(sys.executable, script, "relay", path)]  # fmt: skip
        for command in commands:
            helper = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *command], stdout=subprocess.PIPE)
            assert helper.stdout is not None
            helper.stdout.readline()
            self._helpers.append(helper)
        return dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:3128")

    def proxy_arguments(self) -> list[str]:
        """The same for the steps of a build."""
        address = self.sampan("network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Gateway}}")
        return [f"--build-arg={name}=http://{address}:3128" for name in ("http_proxy", "https_proxy")]

    def base_images(self) -> None:
        """Pull where a registry answers, else make the images from this machine's packages."""
        self.say("A base image")
        if self.daemon.run("timeout", "10", str(BIN / "sampan"), "pull", "-q", "debian:bookworm").status:
            print("(no registry in reach)")
            self.sampan("image", "bootstrap", "debian:bookworm")
        self.sampan("image", "bootstrap", "busybox")
        self.sampan("images")

    def build(self) -> None:
        self.say("Build a web service: two stages, apt, pip, a compiled extension")
        began = time.monotonic()
        arguments = ["-t", "primes", "--secret", f"id=ca,src={CERTIFICATES}", *self.proxy_arguments()]
        self.sampan("build", *arguments, str(ROOT / "examples/primes"))
        print(f"({time.monotonic() - began:.1f} s)")

    def run(self) -> None:
        self.say("Run it, fetch from it")
        began = time.monotonic()
        self.sampan("run", "-d", "--name", "web", "-p", "8080:8000", "primes")
        print(f"({1000 * (time.monotonic() - began):.0f} ms, client included)")
        self.wait_healthy()
        answer = self.daemon.outside.check("curl", "-s", "http://10.99.0.1:8080/1000000")
        print(f"$ curl http://10.99.0.1:8080/1000000      (from another machine)\n{answer}", end="")
        if answer.strip() != "78498":
            raise SystemExit("that is not how many primes lie below a million")
        self.sampan("ps")
        self.sampan("logs", "web")
        self.sampan("exec", "web", "id")

    def wait_healthy(self) -> None:
        """Until the container's health check says so: the event, or the state where it has passed."""
        watcher = self.daemon.popen(
            ["docker", "events", "--since", "1h", "--filter", "event=health_status", "--format", "{{.Action}}"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert watcher.stdout is not None
        for line in watcher.stdout:
            if "healthy" in str(line):
                break
        watcher.kill()
        watcher.wait()

    def start_time(self) -> None:
        self.say("How long a start takes")
        times = []
        for _ in range(10):
            began = time.monotonic()
            self.daemon.ok("run", "--rm", "busybox", "true")
            times.append(1000 * (time.monotonic() - began))
        print(f"docker run --rm busybox true: {sorted(times)[len(times) // 2]:.0f} ms (median of 10)")

    def close(self) -> None:
        self.say("Stop, remove, leave nothing behind")
        try:
            self.sampan("stop", "web")
            self.sampan("rm", "web")
        finally:
            before = leaks.begin()
            self.daemon.close()
            for helper in self._helpers:
                helper.terminate()
                helper.wait()
            left = leaks.remaining(before)
            leaks.remove_session()
            print("\n".join(left) if left else "nothing is left")


def main() -> None:
    demo = Demo()
    demo.daemon.start(env=demo.open_way_out())
    try:
        demo.sampan("version")
        demo.base_images()
        demo.build()
        demo.run()
        demo.start_time()
    finally:
        demo.close()


main()
