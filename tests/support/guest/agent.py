#!/usr/bin/python3 -I
"""Runs commands and API requests for the host: JSON lines over a virtio serial port, one at a time."""

import base64
import http.client
import json
import socket
import subprocess
from glob import glob


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def encode(data):
    return base64.b64encode(data).decode()


def ask(request):
    """An HTTP request in this process: starting a client program takes seconds where it is emulated."""
    connection = Connection(request["socket"], request["timeout"])
    body = base64.b64decode(request["stdin"])
    headers = {"Content-Type": request["type"]} if body else {}
    connection.request(request["method"], request["path"], body or None, headers)
    response = connection.getresponse()
    data = response.read()
    connection.close()
    return {"status": response.status, "out": encode(data), "err": ""}


def execute(request):
    done = subprocess.run(
        request["argv"],
        input=base64.b64decode(request["stdin"]),
        capture_output=True,
        timeout=request["timeout"],
        env={"PATH": "/usr/bin", "HOME": "/root"},
        check=False,
    )
    return {"status": done.returncode, "out": encode(done.stdout), "err": encode(done.stderr)}


def answer(request):
    try:
        return ask(request) if "socket" in request else execute(request)
    except (OSError, subprocess.TimeoutExpired, http.client.HTTPException) as error:
        return {"status": -1, "out": "", "err": encode(repr(error).encode())}


def main():
    with open(glob("/dev/vport*p1")[0], "r+b", buffering=0) as port:
        port.write(b'{"ready": true}\n')
        pending = b""
        while True:
            pending += port.read(65536) or b""
            while b"\n" in pending:
                line, _, pending = pending.partition(b"\n")
                data = json.dumps(answer(json.loads(line))).encode() + b"\n"
                while data:
                    data = data[port.write(data) :]


if __name__ == "__main__":
    main()
