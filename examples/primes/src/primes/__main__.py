"""GET /1000 answers how many primes lie below 1000."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ._sieve import count


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            status, text = 200, f"{count(int(self.path.strip('/')))}\n"
        except ValueError as error:
            status, text = 400, f"{error}\n"
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())


print("serving on port 8000", flush=True)
ThreadingHTTPServer(("", 8000), Handler).serve_forever()
