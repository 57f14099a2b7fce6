"""What an app creates itself on a cluster: a namespace with a backend, a Service and an Ingress with nginx' annotations."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

import objects

Json = dict[str, Any]

LABELS = {"managed-by": "creator"}
IMAGE = "python:3.11-slim"
PORT = 8000
OPTION = "nginx.ingress.kubernetes.io/"
# What OpenSail puts on the Ingress of every preview.
OPTIONS = {
    f"{OPTION}proxy-http-version": "1.1",
    f"{OPTION}proxy-read-timeout": "3600",
    f"{OPTION}proxy-send-timeout": "3600",
    "external-dns.alpha.kubernetes.io/controller": "tesslate-ignore",
}
# Says what reached it: the path, the headers, how much was sent; talks back where a socket is asked for.
SERVER = """
import http.server, json, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101); self.send_header("Upgrade", "websocket"); self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(b"heard " + self.rfile.readline()); self.close_connection = True
            return
        if "slow" in self.path:
            time.sleep(6)
        self.answer()
    def do_POST(self):
        self.answer(len(self.rfile.read(int(self.headers["Content-Length"]))))
    def answer(self, received=0):
        said = {"path": self.path, "received": received, "headers": {name.lower(): text for name, text in self.headers.items()}}
        body = json.dumps(said).encode()
        self.send_response(200); self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8000), Handler).serve_forever()
"""


def namespace(name: str, labels: Json) -> Json:
    """A namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def backend(name: str) -> tuple[Json, Json]:
    """A Deployment and its Service."""
    made = objects.deployment(name)
    container = made["spec"]["template"]["spec"]["containers"][0]
    container |= {"image": IMAGE, "command": ["python3", "-c", SERVER]}
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": PORT}, "periodSeconds": 1}
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": PORT}]}
    return made, {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def service_of_address(name: str, address: str) -> tuple[Json, Json]:
    """A Service that leads to an address, whoever has it."""
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"port": PORT, "protocol": "TCP"}],
    }
    spec = {"ports": [{"port": 80, "targetPort": PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}, slice_


def ingress(name: str, host: str, ingress_class: str, path: str = "/", **options: str) -> Json:
    """An Ingress as OpenSail writes one; more of nginx' annotations by their name, `_` for `-`."""
    more = {f"{OPTION}{key.replace('_', '-')}": text for key, text in options.items()}
    back = {"service": {"name": "dev", "port": {"number": 80}}}
    kind = "Prefix" if path == "/" else "ImplementationSpecific"
    spec: Json = {"rules": [{"host": host, "http": {"paths": [{"path": path, "pathType": kind, "backend": back}]}}]}
    if ingress_class:
        spec["ingressClassName"] = ingress_class
    meta = {"name": name, "annotations": {**OPTIONS, **more}}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": meta, "spec": spec}


def ask(
    place: tuple[str, int], host: str, path: str = "/", *, body: bytes = b"", headers: Json | None = None
) -> tuple[int, Json, Json]:
    """One request through the proxy: status, headers of the answer, what the backend says of the request."""
    connection = http.client.HTTPConnection(*place, timeout=60)
    try:
        connection.request("POST" if body else "GET", path, body or None, {"Host": host, **(headers or {})})
        answer = connection.getresponse()
        content, told = answer.read(), {name.lower(): text for name, text in answer.getheaders()}
        is_json = told.get("content-type") == "application/json"
        return answer.status, told, json.loads(content) if is_json else {}
    finally:
        connection.close()


def talk(place: tuple[str, int], host: str) -> tuple[str, str]:
    """Ask for a web socket and say a word: the first line of the answer, and the last one."""
    with socket.create_connection(place, timeout=30) as connection:
        request = f"GET /socket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        connection.sendall(request.encode())
        reader = connection.makefile("rb")
        status = reader.readline().decode().strip()
        while reader.readline().strip():
            pass
        connection.sendall(b"hello\n")
        return status, reader.readline().decode().strip()
