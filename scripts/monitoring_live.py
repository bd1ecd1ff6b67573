#!/usr/bin/env python3
"""Tests rules, dashboards, federation and Alertmanager against a real mesh.

Runs three regions with `regionmesh up`, models, inference and DNS traffic; kills a region and waits
until it has returned. Two Prometheus servers federate each other, and Alertmanager notifies. Every
dashboard panel must return data, and every notification must arrive.

Usage: scripts/monitoring_live.py BINARY
"""

import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MONITORING = ROOT / "monitoring"
REGIONS = ["us-west-2", "eu-west-1", "ap-south-1"]
ZONE = "regionmesh.test"
ROUTE53 = "needs a hosted zone at Route 53 (dns.route53)"
NODES = "needs nodes with prices"
BILL = "needs a bill"
BUDGET = "needs a budget"
# Panels that must be empty here, and why: (dashboard, title): reason.
EMPTY = {
    ("regionmesh-dns", "Zone writes"): ROUTE53,
    ("regionmesh-dns", "Requests to the provider"): ROUTE53,
    ("regionmesh-dns", "Records that differ"): ROUTE53,
    ("regionmesh-cost", "Per hour"): NODES,
    ("regionmesh-cost", "Today"): NODES,
    ("regionmesh-cost", "This month, live"): NODES,
    ("regionmesh-cost", "This month, billed"): BILL,
    ("regionmesh-cost", "Month end"): BILL,
    ("regionmesh-cost", "Budget"): BUDGET,
    ("regionmesh-cost", "Age of bills"): BILL,
    ("regionmesh-cost", "Live vs. billed"): BILL,
    ("regionmesh-cost", "Cost per hour"): NODES,
    ("regionmesh-cost", "Month end, whole mesh"): BILL,
    ("regionmesh-cost", "Regions"): NODES,
    ("regionmesh-cost", "Budgets"): BUDGET,
    ("regionmesh-cost", "Per 1,000 inferences"): NODES,
    ("regionmesh-cost", "Live vs. billed by region"): BILL,
    ("regionmesh-cost", "Cost of egress today"): NODES,
    ("regionmesh-cost", "Age by source"): BILL,
}
# Grafana's variables with everything selected.
VARIABLES = {
    "$region": ".*",
    "$agent": ".*",
    "$currency": ".*",
    "$__rate_interval": "1m",
    "$__interval": "15s",
    "$__range": "5m",
}


class Failure(Exception):
    """A failed check."""


def say(text):
    print(f"   {text}", flush=True)


def until(claim, seconds, check):
    """Waits until `check` returns a true value, and returns it."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            if found := check():
                return found
        except (OSError, ValueError, KeyError, IndexError, subprocess.TimeoutExpired) as error:
            last = error
        time.sleep(0.3)
    raise Failure(f"not within {seconds} s: {claim}{f' ({last})' if last else ''}")


def get(url, form=None, body=None, timeout=10):
    data = urllib.parse.urlencode(form).encode() if form else body
    headers = {"Content-Type": "application/json"} if body else {}
    with urllib.request.urlopen(
        urllib.request.Request(url, data=data, headers=headers), timeout=timeout
    ) as answer:
        return answer.read()


def query(prometheus, expression):
    """Samples of an instant query, as (labels, number)."""
    try:
        answer = json.loads(get(f"{prometheus}/api/v1/query", form={"query": expression}))
    except urllib.error.HTTPError as error:
        raise Failure(f"{expression}: {error.read().decode()}") from error
    found = answer["data"]["result"]
    if answer["data"]["resultType"] == "scalar":
        found = [{"metric": {}, "value": found}]
    return [(series["metric"], float(series["value"][1])) for series in found]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_base():
    """Free loopback addresses for three agents and a front door."""
    for first in range(11, 250, 20):
        with contextlib.ExitStack() as sockets:
            try:
                for last in [first - 10, first, first + 1, first + 2]:
                    for port in (8080, 9080, 5300):
                        made = sockets.enter_context(socket.socket())
                        made.bind((f"127.0.106.{last}", port))
                return f"127.0.106.{first}", f"127.0.106.{first - 10}:8080"
            except OSError:
                continue
    raise Failure("no free loopback addresses in 127.0.106.0/24")


# A model for the embedded server: y = sigmoid(x) of shape [1, 4], as ONNX protocol buffers.


def field(number, value):
    if isinstance(value, int):
        return bytes([number << 3, value])
    value = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(value)]) + value


def onnx_model():
    shape = field(1, field(1, 1)) + field(1, field(1, 4))
    tensor = field(2, field(1, field(1, 1) + field(2, shape)))
    node = field(1, "x") + field(2, "y") + field(4, "Sigmoid")
    graph = (
        field(1, node)
        + field(2, "g")
        + field(11, field(1, "x") + tensor)
        + field(12, field(1, "y") + tensor)
    )
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


def ask_dns(address, name):
    """Sends an A query over UDP and returns the response code."""
    question = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    packet = struct.pack(">HHHHHH", 7, 0, 1, 0, 0, 0) + question + struct.pack(">HH", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(1)
        link.sendto(packet, (address, 5300))
        return link.recv(512)[3] & 15


class Mesh:
    """Three regions, started by `regionmesh up`."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder / "mesh"
        base, self.front_door = free_base()
        network, first = base.rsplit(".", 1)
        self.addresses = {
            region: f"{network}.{int(first) + place}" for place, region in enumerate(REGIONS)
        }
        self.log = (folder / "up.log").open("w+")
        command = [
            binary,
            "up",
            "--data-dir",
            self.folder,
            "--base",
            base,
            "--front-door",
            self.front_door,
            "--no-sample",
        ]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)

    def said(self):
        return Path(self.log.name).read_text()

    def ready(self):
        if self.process.poll() is not None:
            raise Failure(f"`up` ended:\n{self.said()}")
        return "Ctrl-C stops it" in self.said() and self.verdicts() == {"healthy"}

    def verdicts(self):
        regions = json.loads(get(f"http://{self.addresses[REGIONS[0]]}:9080/v1/status"))["regions"]
        return {region["verdict"] for region in regions}

    def kill(self, region):
        """Kills a region's agent; `up` restarts it."""
        pid = re.search(rf"^  {region}\s+node-0\s+(\d+)", self.said(), re.MULTILINE)
        os.kill(int(pid[1]), signal.SIGKILL)

    def publish(self, name, version, path):
        command = [
            self.binary,
            "models",
            "publish",
            name,
            version,
            path,
            "--data-dir",
            self.folder,
            "--wait",
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise Failure(f"{name}@{version} was not published: {done.stdout}{done.stderr}")

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Traffic(threading.Thread):
    """Sends inferences and DNS queries until stopped. Errors are normal while a region is down."""

    BODY = json.dumps(
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]}
    ).encode()

    def __init__(self, mesh):
        super().__init__(daemon=True)
        self.mesh, self.over, self.answered, self.failed = mesh, threading.Event(), 0, 0

    def run(self):
        targets = [self.mesh.front_door] + [
            f"{address}:8080" for address in self.mesh.addresses.values()
        ]
        while not self.over.wait(0.1):
            for target in targets:
                try:
                    get(f"http://{target}/v2/models/sigmoid/infer", body=self.BODY, timeout=2)
                    self.answered += 1
                except OSError:
                    self.failed += 1
            for address in self.mesh.addresses.values():
                for name in (f"serving.{ZONE}", f"nothing.{ZONE}"):
                    with contextlib.suppress(OSError):
                        ask_dns(address, name)


class Sink(http.server.ThreadingHTTPServer):
    """Receives notifications."""

    def __init__(self):
        received = self.received = []

        class Take(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                received.append((self.path, self.headers.get("Authorization"), body))
                # PagerDuty's API answers 202.
                self.send_response(202 if "pagerduty" in self.path else 200)
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Take)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def got(self, path, *words):
        return [
            sent
            for sent in list(self.received)
            if sent[0].startswith(path) and all(word in sent[2] for word in words)
        ]


class Servers:
    """Prometheus and Alertmanager with the project's configuration, each in its own folder."""

    def __init__(self, folder):
        self.folder, self.running = folder, []

    def start(self, name, command, environment=None):
        log = (self.folder / f"{name}.log").open("w")
        self.running.append(
            subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=os.environ | (environment or {}),
            )
        )

    def prometheus(self, region, port, agents, siblings, alertmanager):
        """Starts Prometheus with the real configuration, short intervals and this run's targets."""
        home = self.folder / f"prometheus-{region}"
        shutil.copytree(MONITORING / "prometheus", home)
        config = (home / "prometheus.yml").read_text()
        config, changed = re.subn(
            r"(scrape_interval|evaluation_interval|scrape_timeout): \d+s", r"\1: 1s", config
        )
        if changed != 3:
            raise Failure("prometheus.yml: the intervals were not found")
        (home / "prometheus.yml").write_text(config.replace("localhost:9090", f"127.0.0.1:{port}"))
        lists = {
            "agents": [
                {"targets": [f"{address}:9080"], "labels": {"from_region": of, "agent": "node-0"}}
                for of, address in agents.items()
            ],
            "federation": [
                {"targets": [f"127.0.0.1:{at}"], "labels": {"sibling": of}}
                for of, at in siblings.items()
            ],
            "alertmanagers": [{"targets": [alertmanager]}],
        }
        for name, content in lists.items():
            # JSON is YAML.
            (home / "targets" / f"{name}.yml").write_text(json.dumps(content))
        self.start(
            f"prometheus-{region}.out",
            [
                "prometheus",
                f"--config.file={home}/prometheus.yml",
                f"--storage.tsdb.path={home}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
                "--enable-feature=expand-external-labels",
                "--log.level=warn",
                # The first alert fires before Alertmanager is discovered: resend it soon.
                "--rules.alert.resend-delay=3s",
            ],
            {"REGIONMESH_REGION": region},
        )
        return f"http://127.0.0.1:{port}"

    def alertmanager(self, port, sink):
        """Starts Alertmanager with the real configuration; notifications go to the sink."""
        home = self.folder / "alertmanager"
        shutil.copytree(MONITORING / "alertmanager", home)
        (home / "secrets").mkdir()
        to = f"http://127.0.0.1:{sink}"
        secrets = {
            "slack-url": f"{to}/slack",
            "smtp-password": "x",
            "pagerduty-key": "the-key",
            "webhook-token": "the-token",
            "watchdog-token": "the-watchdog",
        }
        for name, secret in secrets.items():
            (home / "secrets" / name).write_text(secret)
        config = (home / "alertmanager.yml").read_text()
        config = config.replace("/etc/alertmanager/secrets", f"{home}/secrets")
        config = config.replace("global:\n", f"global:\n  pagerduty_url: {to}/pagerduty\n", 1)
        config = re.sub(r"http://(\w+)\.internal\.example\.org", rf"{to}/\1", config)
        config = config.replace("smtp.example.org:587", "127.0.0.1:1")
        config = re.sub(r"(group_wait|group_interval): \d+[sm]", r"\1: 1s", config)
        (home / "alertmanager.yml").write_text(config)
        program = shutil.which("alertmanager") or "prometheus-alertmanager"
        self.start(
            "alertmanager.out",
            [
                program,
                f"--config.file={home}/alertmanager.yml",
                f"--storage.path={home}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
                "--log.level=warn",
            ],
        )
        return f"http://127.0.0.1:{port}"

    def complaints(self):
        """Log lines about rejected samples, which show that two writers share a series."""
        logs = "".join(log.read_text() for log in self.folder.glob("prometheus-*.log"))
        return [
            line for line in logs.splitlines() if "out-of-order" in line or "duplicate" in line
        ][:2]

    def stop(self):
        for process in self.running:
            process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def panels(uid):
    """The panels of a dashboard with their expressions, variables substituted."""
    for panel in json.loads((MONITORING / "grafana/dashboards" / f"{uid}.json").read_text())[
        "panels"
    ]:
        expressions = []
        for target in panel.get("targets", []):
            expression = target["expr"]
            for name, value in VARIABLES.items():
                expression = expression.replace(name, value)
            if "$" in expression:
                raise Failure(
                    f"{uid}, {panel['title']}: a variable without a value in {expression}"
                )
            expressions.append(expression)
        if panel["type"] != "row":
            yield panel["title"], expressions


def check_dashboards(prometheus, uids, seconds):
    """Checks that every expression returns a number, and that panels on the EMPTY list don't."""
    checked = 0
    for uid in uids:
        for title, expressions in panels(uid):
            for expression in expressions:
                has_data = lambda: any(
                    number == number for _, number in query(prometheus, expression)
                )  # noqa: B023, E731
                if (uid, title) in EMPTY:
                    if has_data():
                        raise Failure(
                            f"{uid}, {title} has data; it no longer belongs on the list of empty"
                            " panels"
                        )
                    continue
                until(f"{uid}, panel {title!r} has data: {expression}", seconds, has_data)
                checked += 1
    return checked


def check_federation(all_seeing, of_one, servers):
    """Checks that both servers have all regions, and neither gets its own series back."""

    def regions(prometheus):
        return {labels["region"] for labels, _ in query(prometheus, "region:agents:count")}

    for prometheus in (all_seeing, of_one):
        until(
            "every region is known through federation",
            20,
            lambda: regions(prometheus) == set(REGIONS),
        )  # noqa: B023
    foreign = {
        labels["region"]
        for labels, _ in query(of_one, 'region:agents:count{prometheus_region="us-west-2"}')
    }
    if foreign != set(REGIONS):
        raise Failure(f"the sibling's regions are incomplete: {foreign}")
    echo = query(all_seeing, '{__name__=~"region:.+", prometheus_region="us-west-2"}')
    if echo:
        raise Failure(f"own series were federated back: {echo[:3]}")
    federated = query(of_one, 'count({prometheus_region!="", __name__!~"region:.+"})')
    if federated:
        raise Failure(f"other series than recording rules are federated: {federated}")
    if logged := servers.complaints():
        raise Failure(f"Prometheus logged errors: {logged}")
    # Both report eu-west-1; it counts once.
    for expression, wanted in (("mesh:agents_up:sum", 3), ("mesh:leaders:sum", 1)):
        until(
            f"{expression} is {wanted}",
            20,
            lambda: [number for _, number in query(of_one, expression)] == [wanted],
        )  # noqa: B023


def check_rules(prometheus):
    """Checks that every rule evaluates, and that only the watchdog fires in a healthy mesh."""
    groups = json.loads(get(f"{prometheus}/api/v1/rules"))["data"]["groups"]
    bad = [
        (rule["name"], rule["lastError"])
        for group in groups
        for rule in group["rules"]
        if rule["health"] == "err"
    ]
    if bad:
        raise Failure(f"rules that can't be evaluated: {bad}")

    def is_quiet():
        firing = [labels for labels, _ in query(prometheus, 'ALERTS{alertstate="firing"}')]
        # The error budget's windows are as short as this mesh's life, so the kill weighs heavily.
        if {labels["alertname"] for labels in firing if "budget" not in labels} != {
            "RegionMeshWatchdog"
        }:
            raise ValueError(firing)
        return True

    until("only the watchdog fires", 30, is_quiet)
    empty = [
        rule["name"]
        for group in groups
        for rule in group["rules"]
        if rule["type"] == "recording" and not query(prometheus, rule["name"])
    ]
    if empty:
        raise Failure(f"recording rules without a series: {empty}")
    return sum(len(group["rules"]) for group in groups)


def check_notifications(alertmanager, sink):
    """Checks that the watchdog and a page arrive, and a failed region inhibits its symptoms."""
    until(
        "the watchdog arrives, with its token",
        30,
        lambda: [
            token
            for _, token, _ in sink.got("/watchdog/", "RegionMeshWatchdog")
            if token == "Bearer the-watchdog"
        ],
    )
    texts = {"summary": "Region x failed", "description": "-", "runbook_url": "http://runbook/x"}
    alerts = [
        ("RegionMeshRegionFailed", "critical", "x"),
        ("RegionMeshAgentDown", "warning", "x"),
        ("RegionMeshReplicationLag", "warning", "x"),
        ("RegionMeshAgentDown", "warning", "y"),
    ]
    made = [
        {
            "labels": {"alertname": name, "severity": severity, "region": region},
            "annotations": texts,
        }
        for name, severity, region in alerts
    ]
    get(f"{alertmanager}/api/v2/alerts", body=json.dumps(made).encode())

    def states():
        found = json.loads(get(f"{alertmanager}/api/v2/alerts"))
        return {
            (alert["labels"]["alertname"], alert["labels"].get("region")): alert["status"]["state"]
            for alert in found
        }

    wanted = {
        ("RegionMeshRegionFailed", "x"): "active",
        ("RegionMeshAgentDown", "x"): "suppressed",
        ("RegionMeshReplicationLag", "x"): "suppressed",
        ("RegionMeshAgentDown", "y"): "active",
    }
    until(f"alerts are {wanted}", 20, lambda: wanted.items() <= states().items())
    until(
        "Slack gets the failure, with the runbook",
        20,
        lambda: sink.got("/slack", "Region x failed", "http://runbook/x"),
    )
    until(
        "PagerDuty gets it, with its key",
        20,
        lambda: sink.got("/pagerduty", "Region x failed", "the-key"),
    )
    until(
        "the webhook gets it, with its token",
        20,
        lambda: [
            token
            for _, token, _ in sink.got("/alerts/", "RegionMeshRegionFailed")
            if token == "Bearer the-token"
        ],
    )
    if sink.got("/pagerduty", "RegionMeshAgentDown"):
        raise Failure("PagerDuty got a warning")


def run(binary, folder):
    mesh, servers, sink = Mesh(binary, folder), Servers(folder), Sink()
    traffic = Traffic(mesh)
    try:
        ports = {"us-west-2": free_port(), "eu-west-1": free_port()}
        alertmanager = servers.alertmanager(free_port(), sink.server_port)
        to = alertmanager.removeprefix("http://")
        # One scrapes the whole mesh, as on one machine; one is a region's and federates the other.
        whole = servers.prometheus(
            "us-west-2", ports["us-west-2"], mesh.addresses, {"eu-west-1": ports["eu-west-1"]}, to
        )
        single = servers.prometheus(
            "eu-west-1",
            ports["eu-west-1"],
            {"eu-west-1": mesh.addresses["eu-west-1"]},
            {"us-west-2": ports["us-west-2"]},
            to,
        )
        until("three regions are healthy", 40, mesh.ready)
        say(f"a mesh of three regions is running ({mesh.addresses[REGIONS[0]]})")

        model = folder / "sigmoid"
        model.mkdir()
        (model / "model.onnx").write_bytes(onnx_model())
        # Chunks that no region holds yet.
        (model / "noise.bin").write_bytes(os.urandom(3_000_000))
        mesh.publish("sigmoid", "1", model)
        traffic.start()
        until("inferences are answered", 30, lambda: traffic.answered > 20)

        mesh.kill("ap-south-1")
        failed = 'max(mesh:verdict:ratio{region="ap-south-1", condition="failed"}) > 0.5'
        until("Prometheus sees the killed region fail", 20, lambda: query(whole, failed))
        back = (
            'max(regionmesh_plan_traffic_state{region="ap-south-1", state="serving"}) == 1 and'
            ' max(regionmesh_verdict{region="ap-south-1", condition="healthy"}) == 1'
        )
        until(
            "and return to its full share",
            60,
            lambda: not query(whole, failed) and query(whole, back),
        )
        say("a killed region failed, returned and finished its ramp-up")

        rules = check_rules(whole)
        say(f"{rules} rules evaluate, every recording rule has series, only the watchdog fires")
        uids = sorted(path.stem for path in (MONITORING / "grafana/dashboards").glob("*.json"))
        count = check_dashboards(whole, uids, 20)
        say(
            f"{count} expressions of {len(uids)} dashboards return data; {len(EMPTY)} panels are"
            f" empty as expected: {'; '.join(sorted(set(EMPTY.values())))}"
        )
        check_federation(whole, single, servers)
        count = check_dashboards(single, ["regionmesh-global"], 20)
        say(
            f"two Prometheus servers federate each other; the global dashboard ({count}"
            " expressions) is complete on both"
        )
        check_notifications(alertmanager, sink)
        say(
            "Alertmanager notifies Slack, PagerDuty and both webhooks; a failed region inhibits"
            " only its own symptoms"
        )
        say(
            f"{traffic.answered} inferences were answered, {traffic.failed} failed while the region"
            " was down"
        )
    finally:
        traffic.over.set()
        servers.stop()
        mesh.stop()


def main():
    binary = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory(prefix="regionmesh-monitoring-") as folder:
        try:
            run(binary, Path(folder))
        except Failure as failure:
            for log in sorted(Path(folder).glob("*.log")):
                print(f"--- end of {log.name}\n{log.read_text()[-1500:]}", file=sys.stderr)
            sys.exit(f"FAILED: {failure}")


main()
