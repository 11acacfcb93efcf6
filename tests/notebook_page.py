"""A page that shows a widget as a notebook does: the least that anywidget asks of a front end."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = """<!doctype html><title>a notebook</title><div id="cell"></div><script type="module">
const state = STATE, heard = new Map();
window.model = {
  get: (name) => state[name],
  on: (name, hear) => heard.set(name, hear),
  off: (name) => heard.delete(name),
  told: (name, value) => { state[name] = value; heard.get(`change:${name}`)?.(); },
  heard,
};
const { default: widget } = await import("/widget.js");
window.leave = widget.render({ model, el: document.querySelector("#cell") });
</script>"""


@contextmanager
def shown(widget):
    """The address of a notebook that shows a widget."""
    state = {name: value for name, value in widget.get_state().items() if name[0] != "_"}
    pages = {
        "/": ("text/html", HOST.replace("STATE", json.dumps(state, default=str))),
        "/widget.js": ("text/javascript", str(widget._esm)),
    }

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            media_type, text = pages.get(self.path, ("text/plain", ""))
            self.send_response(200 if text else 404)
            self.send_header("content-type", media_type)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *words):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join(10)
