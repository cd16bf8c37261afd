#!/usr/bin/env python3
"""Every distinct shader text through a browser's compiler: Tint, in headless Chromium. Some of each kernel become pipelines on its software
adapter, which takes longer.

    python3 tests/tint/run.py           the texts of tests/parity/shaders.rs, which cargo builds and runs
    python3 tests/tint/run.py FOLDER    the .wgsl files of a folder, as `Program::write_sources` makes them

Needs Chromium (Debian: apt-get install chromium) or the path of one in $CHROMIUM. Exit status 1: a text is refused. 77: there is no browser that
can be started, or it has no WebGPU; the last line says why.
"""

import collections
import http.server
import json
import os
import pathlib
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
CANNOT = 77
# Seconds until the page must have an adapter, and from one report to the next.
START, PATIENCE = 60, 120
# `--enable-unsafe-webgpu` is what gives a software adapter; the rest keeps the browser from the network.
FLAGS = """--headless=new --no-sandbox --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader --disable-quic --no-first-run
    --disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage""".split()
# Most texts of a kernel that become pipelines.
PIPELINES = 8
# What must be refused, so that this check can fail: wrong types, a barrier that some threads may not reach, more threads than browsers promise.
PLANTED = {
    "planted types": "@compute @workgroup_size(1) fn main() { let x: u32 = 1.5; }",
    "planted barrier": """@compute @workgroup_size(2) fn main(@builtin(local_invocation_index) i: u32) { if (i == 0u) { workgroupBarrier(); } }""",
    "planted threads": "@compute @workgroup_size(257) fn main() {}",
}


def cannot(why):
    print(f"tint: not checked: {why}")
    sys.exit(CANNOT)


def texts_of_the_suite(folder):
    features = os.environ.get("GRADUS_TEST_FEATURES")  # those of a build that is there
    command = ["cargo", "test", "--locked", *(["--features", features] if features else []), "--test", "parity", "shaders::"]
    print("$", *command, flush=True)
    subprocess.run(command, cwd=HERE.parent.parent, env={**os.environ, "GRADUS_SHADERS": folder}, check=True)


def distinct(folder):
    """Each text once, under the first of its names, and whether it becomes a pipeline: of each kernel some, far from each other."""
    found = {}
    for file in sorted(pathlib.Path(folder).glob("*.wgsl")):
        found.setdefault(file.read_text(), file.stem)
    if not found:
        sys.exit(f"tint: no .wgsl file in {folder}")
    kernels = collections.defaultdict(list)
    for text, name in found.items():
        kernels[name.rsplit("-", 1)[0]].append((name, text))
    every = {kernel: -(-len(texts) // PIPELINES) for kernel, texts in kernels.items()}
    return [(*text, i % every[kernel] == 0) for kernel, texts in kernels.items() for i, text in enumerate(texts)]


def server(texts, reports):
    class Answers(http.server.BaseHTTPRequestHandler):
        def answer(self, kind, body):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            if self.path == "/texts":
                self.answer("application/json", json.dumps(texts).encode())
            else:
                self.answer("text/html", (HERE / "page.html").read_bytes())

        def do_POST(self):
            reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer("text/plain", b"")

        def log_message(self, *_):
            pass

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{made.server_address[1]}/"


def heard(reports, seconds):
    try:
        return reports.get(timeout=seconds)
    except queue.Empty:
        return None


def results_of(reports):
    """What became of each text, as the page tells it."""
    first = heard(reports, START)
    if first is None:
        cannot(f"Chromium said nothing for {START} s")
    if "adapter" not in first:
        cannot(first.get("cannot", first))
    print(f"Chromium's adapter: {first['adapter']}, with {', '.join(first['features']) or 'no features'}", flush=True)
    results = []
    while True:
        report = heard(reports, PATIENCE)
        if report is None:
            sys.exit(f"tint: FAILED: the page said nothing for {PATIENCE} s, after {len(results)} texts")
        if "broken" in report:
            sys.exit(f"tint: FAILED: {report['broken']}, after {len(results)} texts")
        if "done" in report:
            return results
        results += report["results"]


def in_browser(browser, texts):
    reports = queue.Queue()
    page = server(texts, reports)
    profile, quiet = tempfile.mkdtemp(), subprocess.DEVNULL
    command = [browser, *FLAGS, f"--user-data-dir={profile}", page]
    started = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        return results_of(reports)
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait()
        shutil.rmtree(profile, ignore_errors=True)


def judged(results, wanted):
    refused = {r["name"]: r["refused"] for r in results if r.get("refused")}
    missed = [name for name in PLANTED if not refused.pop(name, None)]
    left_out = collections.Counter(r["lacks"] for r in results if "lacks" in r)
    for name, why in list(refused.items())[:20]:
        print(f"--- refused: {name}\n{why}")
    compiled = [r for r in results if "lacks" not in r and not r.get("refused")]
    instead, pipelines = (sum(bool(r.get(what)) for r in compiled) for what in ("instead", "pipeline"))
    named = "; ".join(f"{n} that need {lack}" for lack, n in left_out.items())
    print(
        f"tint: compiled {len(compiled)} ({instead} with f32 in the place of f16; {pipelines} became pipelines), "
        f"refused {len(refused)}, left out {sum(left_out.values())}{f' ({named})' if named else ''}"
    )
    if missed:
        sys.exit(f"tint: FAILED: {', '.join(missed)} should have been refused")
    if len(results) != wanted or not compiled or refused:
        sys.exit(f"tint: FAILED: {len(results)} of {wanted} texts were looked at, {len(refused)} were refused")


def main():
    names = [os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"]
    browser = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if browser is None:
        cannot("there is no Chromium (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as scratch:
        if len(sys.argv) < 2:
            texts_of_the_suite(scratch)
        planted = [(name, text, True) for name, text in PLANTED.items()]
        texts = [*planted, *distinct(sys.argv[1] if len(sys.argv) > 1 else scratch)]
    began = time.monotonic()
    results = in_browser(browser, texts)
    print(f"{len(texts)} texts in {time.monotonic() - began:.0f} s")
    judged(results, len(texts))


if __name__ == "__main__":
    main()
