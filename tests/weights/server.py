"""A server on 127.0.0.1 that behaves as servers do: well, and badly."""
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    content = b""
    manner = "well"
    asked: list

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        """Serve ``content``; what goes wrong is the class's ``manner``."""
        asked = self.headers.get("Range")
        self.asked.append((self.path, asked))
        manner, content = self.manner, self.content
        if manner == "404":
            return self.send_error(404)
        if manner == "html":
            return self.answer(200, b"<html>log in first</html>", "text/html")
        if manner.startswith("redirect ") and self.path != "/moved":
            self.send_response(302)
            self.send_header("Location", manner.split()[1])
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if asked and manner != "no ranges":
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(content):
                return self.send_error(416)
            claimed = start + 1 if manner == "other part" else start
            return self.answer(206, content[start:], range_=f"bytes {claimed}-{len(content) - 1}/"
                                                            f"{len(content)}")
        return self.answer(200, content)

    def answer(self, code, content, kind="application/octet-stream", range_=None):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        if self.manner != "no length":
            self.send_header("Content-Length", str(len(content) + (5 if self.manner == "short"
                                                                   else 0)))
        if range_:
            self.send_header("Content-Range", range_)
        self.end_headers()
        try:
            if self.manner == "stops":
                self.wfile.write(content[:len(content) // 2])
            elif self.manner == "hangs":
                self.wfile.write(content[:len(content) // 2])
                self.wfile.flush()
                self.server.released.wait(60)
            elif self.manner == "drips":
                for byte in range(len(content)):
                    self.wfile.write(content[byte:byte + 1])
                    self.wfile.flush()
                    time.sleep(0.02)
                    if self.server.released.is_set():
                        break
            else:
                self.wfile.write(content)
        except OSError:                     # the client went away
            pass


@contextmanager
def serving(content, manner="well"):
    """Gives the address of a file, and the handler, whose ``manner`` can be changed."""
    handler = type("Serving", (Handler,), {"content": content, "manner": manner, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.released = True, threading.Event()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/weights.pth", handler
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
