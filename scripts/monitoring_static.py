#!/usr/bin/env python3
"""Static checks of monitoring/: runbooks, rule tests, routing, both Prometheus configurations.

Usage: scripts/monitoring_static.py runbooks | tested | routes | kubernetes OUT
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROMETHEUS = ROOT / "monitoring/prometheus"
KUBERNETES = ROOT / "kubernetes/base/prometheus/prometheus.yml"
ALERTMANAGER = ROOT / "monitoring/alertmanager/alertmanager.yml"
RUNBOOKS = "https://github.com/regionmesh/regionmesh/blob/main/docs/how-to/troubleshoot.md#"
SEVERITIES = {"critical", "warning", "info", "none"}
# Labels of an alert, and the receivers it must reach.
ROUTES = [
    ("alertname=RegionMeshRegionFailed severity=critical region=a", "pagerduty,slack"),
    (
        "alertname=RegionMeshErrorBudgetBurnFast severity=critical budget=fast slo=reach",
        "pagerduty,slack",
    ),
    (
        "alertname=RegionMeshErrorBudgetBurnSlow severity=warning budget=slow slo=requests",
        "mail,slack",
    ),
    ("alertname=RegionMeshReplicationLag severity=warning region=a", "slack"),
    ("alertname=RegionMeshOverrideStands severity=info kind=drain", "none"),
    ("alertname=RegionMeshWatchdog severity=none", "watchdog"),
    ("alertname=SomethingElse", "slack"),
]


def rules_of(name):
    """The alerts of a rule file, each with the text of its rule."""
    parts = re.split(
        r"^ +- alert: (\w+)$", (PROMETHEUS / "rules" / name).read_text(), flags=re.MULTILINE
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def alerts():
    """All alerts: those raised by agents and those derived by Prometheus."""
    return rules_of("raised.yml") | rules_of("alerts.yml")


def anchors(markdown):
    """The anchors that GitHub gives a page's headings."""
    headings = re.findall(
        r"^#+ +(.+)$",
        re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL),
        re.MULTILINE,
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def runbooks():
    known = anchors((ROOT / "docs/how-to/troubleshoot.md").read_text())
    explained = (ROOT / "docs/reference/alerts.md").read_text()
    for name in set(rules_of("raised.yml")) & set(rules_of("alerts.yml")):
        yield f"{name} has two rules: remove it from alerts.yml, agents raise it"
    for name, text in alerts().items():
        for annotation in ("summary", "description"):
            if f"          {annotation}: " not in text:
                yield f"{name} has no {annotation}"
        severity = re.search(r"^          severity: (\w+)$", text, re.MULTILINE)
        if not severity or severity[1] not in SEVERITIES:
            yield f"{name} has no severity of {sorted(SEVERITIES)}"
        link = re.search(
            rf"^          runbook_url: {re.escape(RUNBOOKS)}(\S+)$", text, re.MULTILINE
        )
        if not link or link[1] not in known:
            yield (
                f"{name}: no section {link[1] if link else '(no runbook_url)'} in"
                " docs/how-to/troubleshoot.md"
            )
        if f"`{name}`" not in explained:
            yield f"docs/reference/alerts.md does not list {name}"


def tested():
    """Every alert has a test in which it fires, and every tested alert exists."""
    fires, silent = set(), set()
    for path in (PROMETHEUS / "tests").glob("*.yml"):
        for name, empty in re.findall(
            r"alertname: (\w+)\n +exp_alerts:( \[\])?$", path.read_text(), re.MULTILINE
        ):
            (silent if empty else fires).add(name)
    for name in alerts():
        if name not in fires:
            yield f"{name} fires in no test"
    for name in (fires | silent) - set(alerts()):
        yield f"a test names {name}, which is no alert"


def routes():
    for labels, wanted in ROUTES:
        command = [
            "amtool",
            "config",
            "routes",
            "test",
            f"--config.file={ALERTMANAGER}",
            f"--verify.receivers={wanted}",
            *labels.split(),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"{labels}: expected {wanted}, got {done.stdout.strip()}{done.stderr.strip()}"
    config = ALERTMANAGER.read_text()
    for name in set(re.findall(r"RegionMesh\w+", config)) - {f"RegionMesh{name}" for name in ("",)}:
        if name not in alerts():
            yield f"alertmanager.yml names {name}, which does not exist"
    for group in re.findall(r"RegionMesh\(([\w|]+)\)", config):
        for name in group.split("|"):
            if f"RegionMesh{name}" not in alerts():
                yield f"alertmanager.yml names RegionMesh{name}, which does not exist"
    for line in config.splitlines():
        if re.match(
            r" *-?"
            r" *(slack_api_url|smtp_auth_password|routing_key|service_key|credentials|password):",
            line,
        ):
            yield f"alertmanager.yml contains a secret instead of a file name: {line.strip()}"


def kubernetes(out):
    """Writes the cluster's configuration with file discovery, for a promtool without Kubernetes.

    Also checks that it has the same settings for rules and federation as prometheus.yml.
    """
    text, common = KUBERNETES.read_text(), (PROMETHEUS / "prometheus.yml").read_text()
    for part in (
        """['{__name__=~"region:.+",prometheus_region=""}']""",
        "- regex: prometheus_region\n",
        "evaluation_interval: 15s\n",
    ):
        if part not in text or part not in common:
            yield f"{KUBERNETES} and prometheus.yml must both have {part.strip()}"
    files, count = re.subn(
        r"kubernetes_sd_configs: (?:&pods\n      - role: pod\n        namespaces: { own_namespace:"
        r" true }|\*pods)\n",
        "file_sd_configs: [{ files: [targets/agents.yml] }]\n",
        text,
    )
    if count != 2:
        yield f"{KUBERNETES}: its discovery is not as expected"
    Path(out).write_text(files)


def main():
    faults = list(
        {"runbooks": runbooks, "tested": tested, "routes": routes, "kubernetes": kubernetes}[
            sys.argv[1]
        ](*sys.argv[2:])
    )
    if faults:
        sys.exit("FAILED: " + "\n        ".join(faults))


main()
