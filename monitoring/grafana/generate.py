#!/usr/bin/env python3
"""Generates the dashboards: helpers for look, units and variables, then one list per dashboard.

    monitoring/grafana/generate.py            writes dashboards/*.json
    monitoring/grafana/generate.py --check    fails if the files differ from the generated ones
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"


def steps(*pairs):
    """Thresholds: the base colour, then pairs (value, colour)."""
    first, *rest = pairs
    values = [{"value": None, "color": first}]
    values += [{"value": value, "color": color} for value, color in rest]
    return {"mode": "absolute", "steps": values}


def words(mapping):
    """Value mappings: {value: (text, colour)}."""
    options = {
        str(value): {"text": text, "color": color, "index": index}
        for index, (value, (text, color)) in enumerate(mapping.items())
    }
    return [{"type": "value", "options": options}]


ZERO_IS_GOOD = steps(GREEN, (1, RED))
YES_NO = words({0: ("no", RED), 1: ("yes", GREEN)})


def targets(queries, table):
    made = []
    for index, (expr, legend) in enumerate(queries):
        target = {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": expr,
                  "legendFormat": legend}
        target |= {"instant": True, "range": False} if table else {"instant": False, "range": True}
        target["format"] = "table" if table == "table" else "time_series"
        made.append(target)
    return made


def panel(kind, title, description, queries, *, unit="short", w=8, h=7, thresholds=None,
          mappings=(), decimals=None, options=None, custom=None, minimum=None, maximum=None,
          overrides=(), transformations=(), instant=None):
    """One panel. `queries`: (expression, legend) pairs, or one expression."""
    queries = [(queries, "")] if isinstance(queries, str) else queries
    defaults = {"unit": unit, "mappings": list(mappings), "thresholds": thresholds or steps(BLUE)}
    defaults["color"] = {"mode": "thresholds" if thresholds or mappings else "palette-classic"}
    limits = {"decimals": decimals, "min": minimum, "max": maximum, "custom": custom}
    for key, value in limits.items():
        if value is not None:
            defaults[key] = value
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"x": 0, "y": 0, "w": w, "h": h},
        "targets": targets(queries, instant),
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options or {},
        "transformations": list(transformations),
    }


def stat(title, description, query, legend="", **more):
    more.setdefault("w", 4)
    more.setdefault("h", 4)
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    options = {"reduceOptions": reduce, "colorMode": "value", "graphMode": "none",
               "textMode": "auto", "justifyMode": "auto", "orientation": "auto"}
    return panel("stat", title, description, [(query, legend)], options=options, instant="stat",
                 **more)


def graph(title, description, queries, *, stacked=False, line_at=None, **more):
    """A time series. `line_at`: a threshold to draw, in the panel's unit."""
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 25 if stacked else 5,
              "showPoints": "never", "spanNulls": False,
              "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
              "thresholdsStyle": {"mode": "dashed" if line_at is not None else "off"}}
    options = {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True,
                          "calcs": []},
               "tooltip": {"mode": "multi", "sort": "desc"}}
    made = panel("timeseries", title, description, queries, custom=custom, options=options, **more)
    if line_at is not None:
        made["fieldConfig"]["defaults"]["thresholds"] = steps("transparent", (line_at, RED))
        made["fieldConfig"]["defaults"]["color"] = {"mode": "palette-classic"}
    return made


def timeline(title, description, queries, mappings, **more):
    options = {"showValue": "never", "rowHeight": 0.85, "mergeValues": True,
               "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}}
    return panel("state-timeline", title, description, queries, mappings=mappings,
                 custom={"fillOpacity": 80, "lineWidth": 0}, options=options, **more)


def table(title, description, queries, columns, *, join, by_column=(), **more):
    """Instant queries joined by a label. `columns`: names of `join` and of each query's value."""
    rename = {join: columns[0]}
    for index, name in enumerate(columns[1:]):
        rename[f"Value #{chr(ord('A') + index)}" if len(queries) > 1 else "Value"] = name
    transformations = [
        {"id": "joinByField", "options": {"byField": join, "mode": "outer"}},
        {"id": "filterFieldsByName", "options": {"include": {"names": list(rename)}}},
        {"id": "organize", "options": {"renameByName": rename, "excludeByName": {},
                                       "indexByName": {name: place
                                                       for place, name in enumerate(rename)}}},
    ]
    overrides = [{"matcher": {"id": "byName", "options": name},
                  "properties": [{"id": key, "value": value}
                                 for key, value in properties.items()]}
                 for name, properties in by_column]
    return panel("table", title, description, [(query, "") for query in queries], instant="table",
                 transformations=transformations, overrides=overrides,
                 options={"showHeader": True, "cellHeight": "sm"},
                 custom={"align": "auto", "cellOptions": {"type": "auto"}}, **more)


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [],
            "gridPos": {"x": 0, "y": 0, "w": WIDTH, "h": 1}}


def query_variable(name, label, query):
    return {"name": name, "label": label, "type": "query", "datasource": SOURCE,
            "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1,
            "multi": True, "includeAll": True, "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]}}


DATASOURCE = {"name": "datasource", "label": "Prometheus", "type": "datasource",
              "query": "prometheus", "refresh": 1,
              "current": {"text": "default", "value": "default"}}
REGION = query_variable("region", "Region", "label_values(region:agents:count, region)")
AGENT = query_variable("agent", "Agent",
                       'label_values(up{job="regionmesh-agents", from_region=~"$region"}, agent)')
CURRENCY = query_variable("currency", "Currency", "label_values(regionmesh_cost_hourly, currency)")
# The selected agents. In a region's Prometheus: its own; siblings' data comes in region: series.
OWN = 'from_region=~"$region", agent=~"$agent"'


def place(panels):
    """Places panels from left to right, in rows of WIDTH."""
    x = y = height = 0
    for number, made in enumerate(panels, 1):
        grid = made["gridPos"]
        if x + grid["w"] > WIDTH:
            x, y, height = 0, y + height, 0
        made["id"], grid["x"], grid["y"] = number, x, y
        x, height = x + grid["w"], max(height, grid["h"])
    return panels


def dashboard(name, title, description, variables, panels, since="now-1h"):
    uid = f"regionmesh-{name}"
    links = [{"type": "dashboards", "title": "RegionMesh", "tags": ["regionmesh"],
              "asDropdown": False, "icon": "external link", "includeVars": True, "keepTime": True,
              "targetBlank": False, "tooltip": "", "url": ""}]
    return uid, {
        "uid": uid, "title": f"RegionMesh / {title}", "description": description,
        "tags": ["regionmesh"], "editable": False, "graphTooltip": 1, "schemaVersion": 41,
        "version": 1, "timezone": "browser", "refresh": "15s",
        "time": {"from": since, "to": "now"}, "links": links, "templating": {"list": variables},
        "panels": place(panels),
    }


BUDGET = 0.0005
VERDICTS = {1: ("healthy", GREEN), 2: ("suspect", YELLOW), 3: ("draining", BLUE),
            4: ("failed", RED), 0: ("unknown", "text")}
# The majority's verdict, as its number in VERDICTS.
VERDICT = " or ".join(
    f'{number} * (max by (region) (mesh:verdict:ratio{{condition="{word}"}}) > 0.5)'
    for number, (word, _) in VERDICTS.items()
)
STATES = {1: ("serving", GREEN), 2: ("reduced", YELLOW), 3: ("limited", "orange"),
          4: ("ramping", BLUE), 5: ("cooling-down", "purple"), 6: ("out", RED)}
STATE = " or ".join(
    f'{number} * (max by (region) (regionmesh_plan_traffic_state{{state="{word}"}}) == 1)'
    for number, (word, _) in STATES.items()
)


def map_of_regions():
    marker = {"size": {"fixed": 12, "min": 6, "max": 20},
              "color": {"field": "Value", "fixed": "dark-green"}, "opacity": 0.9,
              "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
              "text": {"mode": "field", "field": "region", "fixed": ""},
              "textConfig": {"fontSize": 12, "offsetY": 16, "textAlign": "center"}}
    options = {
        "view": {"id": "zero", "lat": 25, "lon": 0, "zoom": 1.5, "allLayers": True},
        # The country outlines that Grafana ships: needs no tile server.
        "basemap": {"type": "geojson", "name": "countries",
                    "config": {"src": "public/maps/countries.geojson", "rules": [],
                               "style": {"color": {"fixed": "#5a6270"}, "opacity": 0.4}}},
        "layers": [{"type": "markers", "name": "regions", "tooltip": True,
                    "location": {"mode": "coords", "latitude": "latitude",
                                 "longitude": "longitude"},
                    "config": {"showLegend": False, "style": marker}}],
        "controls": {"showZoom": True, "mouseWheelZoom": False, "showAttribution": False},
        "tooltip": {"mode": "details"},
    }
    numbers = [{"targetField": name, "destinationType": "number"}
               for name in ("latitude", "longitude")]
    return panel("geomap", "Map of regions",
                 "Verdict on each region. Coordinates: rules/locations.yml.",
                 f"location:region:info * on (region) group_left () ({VERDICT})",
                 instant="table", w=12, h=11,
                 mappings=words(VERDICTS), options=options,
                 transformations=[{"id": "convertFieldType",
                                   "options": {"conversions": numbers, "fields": {}}}])


def burn_panels():
    burn = [(f'mesh:slo_errors:ratio_rate{window}{{slo="{slo}"}} / {BUDGET}', f"{slo}, {window}")
            for slo in ("requests", "reach") for window in ("1h", "6h", "3d")]
    return [
        graph(
            "Burn rate",
            "Error ratio divided by the budget: 1 spends exactly 0.05% in 30 days; 14.4 over an"
            " hour pages.", burn, w=16, line_at=14.4, minimum=0),
        panel(
            "bargauge", "Budget left",
            "Remaining share of the 0.05% budget, over 3 days. Negative: overspent.",
            [("mesh:slo_budget_left:ratio", "{{slo}}")], unit="percentunit", w=8, minimum=0,
            maximum=1, instant="stat", thresholds=steps(RED, (0.25, YELLOW), (0.5, GREEN)),
            options={
                "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True,
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}
            })
    ]


def global_panels():
    return [
        stat("Regions healthy", "Regions whose verdict is healthy.",
             'count(max by (region) (mesh:verdict:ratio{condition="healthy"}) > 0.5) or vector(0)',
             thresholds=steps(RED, (1, YELLOW), (2, GREEN))),
        stat("Regions failed", "Regions whose verdict is failed.",
             'count(max by (region) (mesh:verdict:ratio{condition="failed"}) > 0.5) or vector(0)',
             thresholds=ZERO_IS_GOOD),
        stat("Leaders", "Agents that act as leader; should be 1.", "mesh:leaders:sum",
             thresholds=steps(RED, (1, GREEN), (2, RED))),
        stat("Agents up", "Scraped agents in all regions.", "mesh:agents_up:sum"),
        stat("Requests", "Inference requests per second, all regions.",
             "mesh:inference_requests:rate5m", unit="reqps", decimals=1),
        stat("Failed requests", "Share of 5xx in the last hour; the objective is 0.05%.",
             'mesh:slo_errors:ratio_rate1h{slo="requests"}', unit="percentunit", decimals=3,
             thresholds=steps(GREEN, (BUDGET, YELLOW), (14.4 * BUDGET, RED))),
        map_of_regions(),
        table(
            "Regions", "Share and traffic state are those of the last plan.", [
                VERDICT, "mesh:plan_share:ratio", STATE, "max by (region) (region:agents_up:sum)",
                "max by (region) (region:model_versions:max)",
                "max by (region) (region:replication_lag_seconds:max)",
                "max by (region) (region:slo_requests:rate5m)"
            ], [
                "Region", "Verdict", "Share", "Traffic state", "Agents", "Versions", "Lag",
                "Requests"
            ], join="region", w=12, h=6,
            by_column=[("Verdict",
                        {"mappings": words(VERDICTS),
                         "custom.cellOptions": {"type": "color-text"}}),
                       ("Traffic state",
                        {"mappings": words(STATES), "custom.cellOptions": {"type": "color-text"}}),
                       ("Share", {"unit": "percentunit"}), ("Lag", {"unit": "s"}),
                       ("Requests", {"unit": "reqps", "decimals": 1})]),
        panel(
            "table", "Binaries", "Versions of the binary, and the number of agents that run each.",
            [(("sum by (region, version) (max by (region, version, prometheus_region)"
               " (region:agents_by_version:count))"), "")], instant="table", w=6, h=5,
            options={"showHeader": True, "cellHeight": "sm"}, transformations=[{
                "id": "organize", "options": {
                    "excludeByName": {"Time": True}, "indexByName": {},
                    "renameByName": {"Value": "agents"}
                }
            }]),
        panel(
            "table", "Alerts", "Firing alerts. The watchdog always fires.",
            [('sum by (alertname, severity, region) (ALERTS{alertstate="firing"})', "")],
            instant="table", w=6, h=5, options={"showHeader": True, "cellHeight": "sm"},
            transformations=[{
                "id": "organize", "options": {
                    "excludeByName": {"Time": True, "Value": True}, "indexByName": {},
                    "renameByName": {}
                }
            }]),
        timeline("Verdicts", "Verdict on each region over time.", [(VERDICT, "{{region}}")],
                 words(VERDICTS), w=12, h=6),
        timeline("Traffic states", "Traffic state of each region in the plan.",
                 [(STATE, "{{region}}")], words(STATES), w=12, h=6),
        graph("Planned share", "Share of traffic that the plan gives to each region.",
              [("mesh:plan_share:ratio", "{{region}}")], unit="percentunit", stacked=True,
              minimum=0, maximum=1, w=12),
        graph("Requests by region", "Inference requests answered by each region.",
              [("max by (region) (region:slo_requests:rate5m)", "{{region}}")], unit="reqps",
              stacked=True, minimum=0, w=12),
        graph("P99 by region", "P99 of successful inferences; the objective is 300 ms.",
              [("max by (region) (region:inference_latency_seconds:p99_5m)", "{{region}}")],
              unit="s", line_at=0.3, minimum=0),
        graph("Failures by region", "5xx answers per second.",
              [("max by (region) (region:slo_errors:rate5m)", "{{region}}")], unit="reqps",
              minimum=0),
        graph(
            "Failed probes",
            "Share of failed probes of each region's endpoint; median over the other regions'"
            " observers.", [(("quantile by (region) (0.5, max by (region, from_region)"
                              " (region:probe_failures:ratio_rate1m))"), "{{region}}")],
            unit="percentunit", minimum=0, maximum=1),
        row("Error budget"), *burn_panels()
    ]


def region_panels():
    return [
        stat("Agents up", "Scraped agents of the selected regions.",
             'sum(max by (region) (region:agents_up:sum{region=~"$region"}))'),
        stat("Actors down", "Actors that are not running.",
             f"sum(1 - regionmesh_actor_running{{{OWN}}})", thresholds=ZERO_IS_GOOD),
        stat("Leader", "Whether one of these agents is the leader.",
             f"max(regionmesh_leader_is_leader{{{OWN}}})",
             mappings=words({0: ("no", "text"), 1: ("yes", BLUE)})),
        stat("Leader known", "Whether all of these agents know a live leader.",
             f"min(regionmesh_leader_known{{{OWN}}})", mappings=YES_NO),
        stat("Unreachable", "Regions without a connection, on the agent with the most.",
             f"max(regionmesh_mesh_unreachable_regions{{{OWN}}})", thresholds=ZERO_IS_GOOD),
        stat("Certificate", "Time until the first certificate expires.",
             f"min(regionmesh_certificate_expiry_timestamp_seconds{{{OWN}}}) - time()", unit="s",
             thresholds=steps(RED, (2 * 86400, YELLOW), (14 * 86400, GREEN))),
        table("Agents", "Each agent's own view.", [
            f'sum by (agent_id) (label_join({metric}, "agent_id", "/", "from_region", "agent"))'
            for metric in (f'up{{job="regionmesh-agents", {OWN}}}',
                           f"regionmesh_gossip_members_alive{{{OWN}}}",
                           f"regionmesh_plan_seq{{{OWN}}}", f"regionmesh_dns_plan_seq{{{OWN}}}",
                           f"regionmesh_register_ballot_number{{{OWN}}}",
                           f"process_resident_memory_bytes{{{OWN}}}")
        ], ["Agent", "Up", "Members", "Plan", "DNS plan", "Ballot", "Memory"], join="agent_id",
              w=24, h=6, by_column=[("Up", {"mappings": YES_NO}), ("Memory", {"unit": "bytes"})]),
        timeline(
            "Observations", "Conditions that these agents observe; the verdict is the majority's.",
            [(" or ".join(
                f"{number} * (max by (from_region, region)"
                f' (regionmesh_observed_condition{{condition="{word}", {OWN}}}) == 1)'
                for number, (word, _) in VERDICTS.items()), "{{from_region}} sees {{region}}")],
            words(VERDICTS), w=12),
        graph("Probes by outcome",
              "Definite failure: refused, reset or a wrong answer. Silence: timeout.",
              [(f"sum by (outcome) (rate(regionmesh_probes_total{{{OWN}}}[$__rate_interval]))",
                "{{outcome}}")], unit="ops", minimum=0, w=12),
        graph("Probe duration, P99", "By probed region.",
              [(("histogram_quantile(0.99, sum by (region, le)"
                 f" (rate(regionmesh_probe_duration_seconds_bucket{{{OWN}}}[$__rate_interval])))"),
                "{{region}}")], unit="s", minimum=0),
        graph("Round-trip time", "Smoothed, to the nearest agent of each region.",
              [(f"min by (from_region, region) (regionmesh_mesh_round_trip_seconds{{{OWN}}})",
                "{{from_region}} to {{region}}")], unit="s", minimum=0),
        graph("Connections", "Open connections, by the peer's region and kind.", [
            (f"sum by (region, kind) (regionmesh_mesh_connections{{{OWN}}})", "{{region}} {{kind}}")
        ], minimum=0),
        graph("Refused", "Refused connections and requests, and rejected status entries.",
              [(("sum by (reason)"
                 f" (rate(regionmesh_mesh_refused_total{{{OWN}}}[$__rate_interval])) or"
                 " vector(0)"), "{{reason}}"),
               (("sum by (reason)"
                 ' (rate(regionmesh_gossip_entries_rejected_total{reason!="stale",'
                 f" {OWN}}}[$__rate_interval])) or vector(0)"), "entry {{reason}}")], unit="ops",
              minimum=0),
        graph(
            "Calls to peers", "By outcome.",
            [(("sum by (outcome)"
               f" (rate(regionmesh_mesh_calls_total{{{OWN}}}[$__rate_interval]))"), "{{outcome}}")],
            unit="ops", minimum=0),
        graph("Status board exchanges", "By outcome.",
              [(("sum by (outcome)"
                 f" (rate(regionmesh_gossip_exchanges_total{{{OWN}}}[$__rate_interval]))"),
                "{{outcome}}")], unit="ops", minimum=0),
        row("Leader and register"),
        graph("Plans committed",
              "Plans that these agents committed as leader, and plans learned from others.",
              [(f"sum(increase(regionmesh_register_commits_total{{{OWN}}}[5m]))", "committed"),
               (f"sum(increase(regionmesh_plan_adopted_total{{{OWN}}}[5m]))", "learned")],
              minimum=0),
        graph("Commit duration, mean",
              "From proposing a plan to acceptance by a majority; current and former leaders.",
              [(("sum by (from_region)"
                 f" (regionmesh_register_commit_duration_seconds_sum{{{OWN}}}) / (sum by"
                 " (from_region)"
                 f" (regionmesh_register_commit_duration_seconds_count{{{OWN}}}) > 0)"),
                "{{from_region}}")], unit="s", minimum=0),
        graph("Ballots given up", "Outranked, or without a majority.",
              [(f"sum by (reason) (increase(regionmesh_leader_step_downs_total{{{OWN}}}[5m]))",
                "{{reason}}")], minimum=0),
        graph("Store errors",
              "Failed requests to the acceptor's store, and failed scans of the models.",
              [(("sum by (acceptor, reason)"
                 f" (rate(regionmesh_register_slot_errors_total{{{OWN}}}[$__rate_interval]))"),
                "{{acceptor}} {{reason}}"),
               (f"sum(rate(regionmesh_replication_store_errors_total{{{OWN}}}[$__rate_interval]))",
                "models")], unit="ops", minimum=0),
        graph("Slots written", "By acceptor.",
              [(f"sum by (acceptor) (rate(regionmesh_register_slot_writes_total{{{OWN}}}[5m]))",
                "{{acceptor}}")], unit="ops", minimum=0),
        graph("Refused by the acceptor", "Fenced is normal: a higher ballot is promised.",
              [(("sum by (reason)"
                 f" (increase(regionmesh_register_requests_refused_total{{{OWN}}}[5m]))"),
                "{{reason}}")], minimum=0),
        row("Process"),
        graph("CPU", "Cores used.", [(f"rate(process_cpu_seconds_total{{{OWN}}}[$__rate_interval])",
                                      "{{from_region}}/{{agent}}")], minimum=0),
        graph("Memory", "Resident memory.",
              [(f"process_resident_memory_bytes{{{OWN}}}", "{{from_region}}/{{agent}}")],
              unit="bytes", minimum=0),
        graph("Open files", "Share of the process's limit.", [
            (f"process_open_fds{{{OWN}}} / process_max_fds{{{OWN}}}", "{{from_region}}/{{agent}}")
        ], unit="percentunit", minimum=0),
        graph("Actor restarts", "Restarts after a crash, by actor.",
              [((f"sum by (actor) (increase(regionmesh_actor_restarts_total{{{OWN}}}[5m]))"
                 " or vector(0)"), "{{actor}}")], minimum=0),
        graph(
            "API requests", "By status code.",
            [(("sum by (code)"
               f" (rate(regionmesh_api_requests_total{{{OWN}}}[$__rate_interval]))"), "{{code}}")],
            unit="reqps", minimum=0),
        graph("API latency, P99", "By route.",
              [(("histogram_quantile(0.99, sum by (route, le)"
                 f" (rate(regionmesh_api_request_duration_seconds_bucket{{{OWN}}}[5m])))"),
                "{{route}}")], unit="s", minimum=0)
    ]


def replication_panels():
    return [
        stat("Versions", "Model versions in the region with the most.",
             'max(region:model_versions:max{region=~"$region"})'),
        stat("Missing", "Missing versions in the region with the most.",
             'max(region:missing_versions:max{region=~"$region"})', thresholds=ZERO_IS_GOOD),
        stat("Lag", "Age of the oldest missing version, in any region.",
             'max(region:replication_lag_seconds:max{region=~"$region"})', unit="s",
             thresholds=steps(GREEN, (60, YELLOW), (300, RED))),
        stat("Conflicts", "Versions that lost their name to an earlier one, since agents started.",
             f"sum(regionmesh_replication_conflicts_total{{{OWN}}})", thresholds=ZERO_IS_GOOD),
        stat("Corrupt data", "Received and discarded, since agents started.",
             f"sum(regionmesh_replication_corrupt_total{{{OWN}}}) or vector(0)",
             thresholds=ZERO_IS_GOOD),
        stat("Store errors", "Failed scans of the store in the last hour.",
             f"sum(increase(regionmesh_replication_store_errors_total{{{OWN}}}[1h]))", decimals=0,
             thresholds=ZERO_IS_GOOD),
        graph("Versions by region",
              "Versions held by each region; equal when replication is complete.",
              [('max by (region) (region:model_versions:max{region=~"$region"})', "{{region}}")],
              minimum=0, w=12),
        graph("Missing by region", "Versions that a peer holds and the region does not.",
              [('max by (region) (region:missing_versions:max{region=~"$region"})', "{{region}}")],
              minimum=0, w=12),
        graph("Lag by region", "Age of the oldest missing version. Alerts at 5 minutes.",
              [('max by (region) (region:replication_lag_seconds:max{region=~"$region"})',
                "{{region}}")], unit="s", line_at=300, minimum=0, w=12),
        graph("Received", "Chunk bytes, by receiving region.",
              [('max by (region) (region:replication_received_bytes:rate5m{region=~"$region"})',
                "{{region}}")], unit="Bps", minimum=0, w=12),
        graph("By link", "Chunk bytes sent, by sending and receiving region.",
              [(("sum by (from_region, region)"
                 ' (rate(regionmesh_replication_bytes_total{direction="sent",'
                 f" {OWN}}}[5m]))"), "{{from_region}} to {{region}}")], unit="Bps", minimum=0),
        graph(
            "Fetches", "By outcome, in 5 minutes.",
            [(("sum by (outcome)"
               f" (increase(regionmesh_replication_fetches_total{{{OWN}}}[5m]))"), "{{outcome}}")],
            minimum=0),
        graph("Fetch duration, mean", "Time to fetch and verify a version.",
              [(("sum by (from_region)"
                 f" (regionmesh_replication_fetch_duration_seconds_sum{{{OWN}}}) / (sum by"
                 " (from_region)"
                 f" (regionmesh_replication_fetch_duration_seconds_count{{{OWN}}}) > 0)"),
                "{{from_region}}")], unit="s", minimum=0),
        graph("Chunks reused", "Chunks copied from local versions instead of fetched.",
              [(("sum by (from_region)"
                 f" (increase(regionmesh_replication_chunks_reused_total{{{OWN}}}[5m]))"),
                "{{from_region}}")], minimum=0),
        graph("Models loaded", "Versions in the embedded server's memory.",
              [(f"regionmesh_serving_models_loaded{{{OWN}}}", "{{from_region}}/{{agent}}")],
              minimum=0),
        graph("Failed loads", "By model, in 5 minutes.",
              [(("sum by (model)"
                 f" (increase(regionmesh_serving_load_failures_total{{{OWN}}}[5m])) or"
                 " vector(0)"), "{{model}}")], minimum=0)
    ]


def dns_panels():
    return [
        stat("Queries", "Queries per second.",
             'sum(max by (region) (region:dns_queries:rate5m{region=~"$region"}))', unit="reqps",
             decimals=1),
        stat(
            "SERVFAIL", "Share of answers.",
            f'(sum(rate(regionmesh_dns_queries_total{{rcode="SERVFAIL", {OWN}}}[5m])) or vector(0))'
            f" / sum(rate(regionmesh_dns_queries_total{{{OWN}}}[5m]))", unit="percentunit",
            thresholds=steps(GREEN, (0.01, RED))),
        stat("Oldest plan",
             "The oldest plan that one of these agents answers from; 0: the configuration.",
             f"min(regionmesh_dns_plan_seq{{{OWN}}})"),
        stat("Behind", "Plans between the newest and the oldest in use.",
             f"max(regionmesh_plan_seq) - min(regionmesh_dns_plan_seq{{{OWN}}})",
             thresholds=ZERO_IS_GOOD),
        stat("TCP connections", "Open connections.",
             f"sum(regionmesh_dns_tcp_connections{{{OWN}}})"),
        stat(
            "Answer duration, P99", "Time to build an answer.",
            "histogram_quantile(0.99, sum by (le)"
            f" (rate(regionmesh_dns_answer_duration_seconds_bucket{{{OWN}}}[5m])))", unit="s"),
        graph(
            "Queries by response code", "REFUSED: not in the zone. NXDOMAIN: no such name.",
            [(("sum by (rcode)"
               f" (rate(regionmesh_dns_queries_total{{{OWN}}}[$__rate_interval]))"), "{{rcode}}")],
            unit="reqps", minimum=0),
        graph("Queries by transport", "Resolvers use UDP, and TCP after truncated answers.", [
            (("sum by (transport)"
              f" (rate(regionmesh_dns_queries_total{{{OWN}}}[$__rate_interval]))"), "{{transport}}")
        ], unit="reqps", minimum=0),
        graph("Unanswered", "Dropped packets and connections, by reason.",
              [(("sum by (transport, reason)"
                 f" (rate(regionmesh_dns_dropped_total{{{OWN}}}[$__rate_interval])) or"
                 " vector(0)"), "{{transport}} {{reason}}")], unit="ops", minimum=0),
        graph("Answered shares", "Share of service answers that name each region.", [
            ((f"sum by (region) (rate(regionmesh_dns_answers_total{{{OWN}}}[5m])) / on ()"
              f" group_left () sum(rate(regionmesh_dns_answers_total{{{OWN}}}[5m]))"), "{{region}}")
        ], unit="percentunit", stacked=True, minimum=0, maximum=1, w=12),
        graph("Planned shares", "Shares in the plan.", [("mesh:plan_share:ratio", "{{region}}")],
              unit="percentunit", stacked=True, minimum=0, maximum=1, w=12),
        graph("Plan by agent", "Agents differ for less than a second after a change.",
              [(f"regionmesh_dns_plan_seq{{{OWN}}}", "{{from_region}}/{{agent}}")], w=12),
        graph("Rejected plans",
              "Older plans, which is normal, or plans that can't be answered from.",
              [(("sum by (reason)"
                 f" (increase(regionmesh_dns_plans_refused_total{{{OWN}}}[5m])) or vector(0)"),
                "{{reason}}")], minimum=0, w=12),
        row("Zones outside the mesh"),
        graph(
            "Zone writes",
            "Attempts to write a plan to a zone, by outcome. Fenced on the leader: another writer"
            " is active.", [(("sum by (provider, outcome)"
                              f" (increase(regionmesh_dns_provider_publishes_total{{{OWN}}}[5m]))"),
                             "{{provider}} {{outcome}}")], minimum=0),
        graph("Requests to the provider", "By operation and outcome.",
              [(("sum by (operation, outcome)"
                 f" (rate(regionmesh_dns_provider_requests_total{{{OWN}}}[5m]))"),
                "{{operation}} {{outcome}}")], unit="reqps", minimum=0),
        graph("Records that differ", "Records that differ from the plan last written.", [
            (f"max by (provider) (regionmesh_dns_provider_drift_records{{{OWN}}})", "{{provider}}")
        ], minimum=0)
    ]


def serving_panels():
    return [
        stat("Requests", "Inference requests per second.",
             'sum(max by (region) (region:slo_requests:rate5m{region=~"$region"}))', unit="reqps",
             decimals=1),
        stat(
            "Failed", "Share of 5xx over 5 minutes.",
            'sum(max by (region) (region:slo_errors:rate5m{region=~"$region"})) / sum(max by'
            ' (region) (region:slo_requests:rate5m{region=~"$region"}))', unit="percentunit",
            decimals=3, thresholds=steps(GREEN, (BUDGET, YELLOW), (0.01, RED))),
        stat("P99", "P99 of the slowest region.",
             'max(region:inference_latency_seconds:p99_5m{region=~"$region"})', unit="s",
             thresholds=steps(GREEN, (0.2, YELLOW), (0.3, RED))),
        stat("Models loaded", "Models loaded in the region with the fewest.",
             'min(region:models_loaded:min{region=~"$region"})'),
        stat(
            "Unloadable", "Models whose default version can't be loaded.",
            f"count(max by (model) (regionmesh_serving_default_failed{{{OWN}}}) == 1) or vector(0)",
            thresholds=ZERO_IS_GOOD),
        stat("Panics", "Engine panics that were caught, since agents started.",
             f"sum(regionmesh_inference_panics_total{{{OWN}}})", thresholds=ZERO_IS_GOOD),
        graph("Requests by region", "Requests answered by each region.",
              [('max by (region) (region:slo_requests:rate5m{region=~"$region"})', "{{region}}")],
              unit="reqps", stacked=True, minimum=0),
        graph("Requests by model", "By model and version; empty: unknown model.",
              [(("sum by (model, version)"
                 f" (rate(regionmesh_inference_requests_total{{{OWN}}}[$__rate_interval]))"),
                "{{model}} {{version}}")], unit="reqps", minimum=0),
        graph("Requests by status", "HTTP status code.",
              [(("sum by (code)"
                 f" (rate(regionmesh_inference_requests_total{{{OWN}}}[$__rate_interval]))"),
                "{{code}}")], unit="reqps", minimum=0),
        graph("P50 and P99 by region",
              "Successful inferences, including queueing; the objective is 300 ms.",
              [('max by (region) (region:inference_latency_seconds:p50_5m{region=~"$region"})',
                "P50 {{region}}"),
               ('max by (region) (region:inference_latency_seconds:p99_5m{region=~"$region"})',
                "P99 {{region}}")], unit="s", line_at=0.3, minimum=0, w=12),
        graph("P99 by model", "In the selected regions.", [
            (("histogram_quantile(0.99, sum by (model, le)"
              f" (rate(regionmesh_inference_duration_seconds_bucket{{{OWN}}}[5m])))"), "{{model}}")
        ], unit="s", line_at=0.3, minimum=0, w=12),
        graph("Queue", "Requests that wait for a free slot.",
              [(f"regionmesh_inference_queue_length{{{OWN}}}", "{{from_region}}/{{agent}}")],
              minimum=0),
        graph("Rejected for overload", "Rejected because too many are in progress.",
              [(("sum by (from_region)"
                 f" (rate(regionmesh_inference_overloads_total{{{OWN}}}[$__rate_interval]))"),
                "{{from_region}}")], unit="reqps", minimum=0),
        graph("Connections", "Open connections.",
              [(f"regionmesh_serving_connections{{{OWN}}}", "{{from_region}}/{{agent}}")],
              minimum=0),
        graph("Model memory", "Reserved for loaded versions.",
              [(f"regionmesh_serving_models_loaded_bytes{{{OWN}}}", "{{from_region}}/{{agent}}")],
              unit="bytes", minimum=0),
        graph("Default version changes", "By model, in 5 minutes.", [
            (f"sum by (model) (increase(regionmesh_serving_swaps_total{{{OWN}}}[5m]))", "{{model}}")
        ], minimum=0),
        graph("Refused connections",
              "Connections refused or closed because of their input, by reason.",
              [(("sum by (reason)"
                 f" (rate(regionmesh_serving_refused_connections_total{{{OWN}}}[$__rate_interval]))"
                 " or vector(0)"), "{{reason}}")], unit="ops", minimum=0),
        row("Error budget"), *burn_panels()
    ]


REGIONS = 'region=~"$region"'
MONEY = 'region=~"$region", currency=~"$currency"'
OF_MESH = 'region="", currency=~"$currency"'


def cost(metric, by, labels=""):
    """A mesh-wide value, which every agent exports alike."""
    selector = f"{{{labels}}}" if labels else ""
    return f"max by ({by}) (regionmesh_cost_{metric}{selector})"


def money(title, description, query):
    """One number per currency: amounts in different currencies are never added."""
    return stat(title, description, query, legend="{{currency}}", decimals=2)


def by_place(query):
    """Adds one label of region and currency, to join the columns of a table."""
    return f'sum by (place) (label_join({query}, "place", " ", "region", "currency"))'


def cost_panels():
    place = "region, currency"
    hourly, today = cost("hourly", place, MONEY), cost("today", place, MONEY)
    live, billed = (cost("month_to_date", place, f'source="{source}", {MONEY}')
                    for source in ("live", "billed"))
    ends = [
        cost("forecast_month_end", place, f'quantile="{quantile}", region!="", {MONEY}')
        for quantile in ("0.5", "0.1", "0.9")
    ]
    ratio = cost("reconciliation_ratio", place, MONEY)
    return [
        money("Per hour", "Current cost of the selected regions, by the price table.",
              f"sum by (currency) ({hourly})"),
        money("Today", "Since midnight UTC, by the price table.", f"sum by (currency) ({today})"),
        money("This month, live", "Since the start of the month, by the price table.",
              f"sum by (currency) ({live})"),
        money(
            "This month, billed",
            "Since the start of the month, up to the latest bills, which are a day or two behind.",
            f"sum by (currency) ({billed})"),
        money("Month end", "Median forecast for the whole mesh.",
              cost("forecast_month_end", "currency", f'quantile="0.5", {OF_MESH}')),
        stat("Budget", "Spent share of the budget closest to its limit.",
             'max(regionmesh_cost_budget_ratio{kind="actual"})', unit="percentunit",
             thresholds=steps(GREEN, (0.8, YELLOW), (1, RED))),
        stat("Anomalies", "Open anomalies, in bills and live cost.",
             f'sum({cost("anomalies", "plane")}) or vector(0)',
             thresholds=steps(GREEN, (1, YELLOW))),
        stat("Without a price",
             "Items in use that the price table lacks; live cost leaves them out.",
             "max(regionmesh_cost_prices_missing) or vector(0)", thresholds=ZERO_IS_GOOD),
        stat("Age of bills", "Since the newest complete day of the most delayed source.",
             "max(regionmesh_cost_data_age_seconds)", unit="s",
             thresholds=steps(GREEN, (2 * 86400, YELLOW), (3 * 86400, RED))),
        stat("Failed imports", "Failed bill imports in 24 hours.",
             'sum(increase(regionmesh_cost_imports_total{outcome="failed"}[24h])) or vector(0)',
             decimals=0, thresholds=ZERO_IS_GOOD),
        stat("Idle", "Share of serving cost that no model used, in the region with the most.",
             f'max({cost("idle_ratio", "region", REGIONS)})', unit="percentunit"),
        stat(
            "Live vs. billed",
            "Ratio of the two (the larger over the smaller), in the region where they differ most.",
            f"max({ratio} >= 1 or 1 / ({ratio} > 0))", decimals=2,
            thresholds=steps(GREEN, (1.25, YELLOW), (2, RED))),
        graph("Cost per hour", "Running nodes and egress, by the price table.",
              [(hourly, "{{region}} {{currency}}")], decimals=2, stacked=True, minimum=0, w=12),
        graph("Month end, whole mesh", "Forecast: the median and the bounds of the 80% interval.", [
            (cost("forecast_month_end", "quantile, currency", OF_MESH), "{{quantile}} {{currency}}")
        ], decimals=2, minimum=0, w=12),
        table(
            "Regions",
            "Cost by region. Month end: the forecast's median and the bounds of its 80% interval.",
            [by_place(query) for query in (hourly, today, live, billed, *ends)], [
                "Region", "Per hour", "Today", "Month, live", "Month, billed", "Month end",
                "At least", "At most"
            ], join="place", w=12, decimals=2),
        graph(
            "Budgets",
            "Spent, and forecast for the end of the period. A budget moves traffic only if its"
            " action is shift.", [(cost("budget_ratio", "budget, kind"), "{{budget}} {{kind}}")],
            unit="percentunit", line_at=1, minimum=0, w=12),
        row("Models and egress"),
        graph("Per 1,000 inferences",
              "By model: its tagged charges, and its share of the nodes by compute time.",
              [(cost("per_1000_inferences", "region, model, currency",
                     MONEY), "{{model}} {{region}} {{currency}}")], decimals=4, minimum=0),
        graph("Idle by region", "Share of serving cost that no model used.",
              [(cost("idle_ratio", "region", REGIONS), "{{region}}")], unit="percentunit",
              minimum=0, maximum=1),
        graph(
            "Live vs. billed by region",
            "Live cost over billed cost, for days that both cover. Alerts below 0.5 and above 2.",
            [(ratio, "{{region}} {{currency}}")], decimals=2, line_at=2, minimum=0),
        graph("Cost of egress today", "By source, destination and cause.",
              [(cost("egress_today", "from, to, cause, currency",
                     'from=~"$region", currency=~"$currency"'),
                "{{from}} to {{to}}, {{cause}}, {{currency}}")], decimals=2, minimum=0),
        graph("Egress", "Bytes that leave a region, by destination and cause.",
              [('max by (region, to, cause) (region:egress_bytes:rate5m{region=~"$region"})',
                "{{region}} to {{to}} {{cause}}")], unit="Bps", minimum=0),
        graph(
            "Replication by model",
            "Egress in an hour of the ten models with the most, for agents scraped by this"
            " Prometheus.", [(("topk(10, sum by (model)"
                               ' (increase(regionmesh_cost_egress_bytes_total{cause="replication",'
                               ' from_region=~"$region"}[1h])))'), "{{model}}")], unit="bytes",
            minimum=0),
        graph(
            "Weights with traffic.cost",
            "Factor on a region's weight after moving traffic to cheaper regions; 100%: nothing"
            " moved.", [('min by (region) (regionmesh_plan_cost_factor_ratio{region=~"$region"})',
                         "{{region}}")], unit="percentunit", minimum=0, w=12),
        graph("Relays", "Large versions that waited for a cheaper source, in an hour, by outcome.",
              [("sum by (outcome) (increase(regionmesh_replication_relays_total[1h]))",
                "{{outcome}}")], minimum=0, w=12),
        row("Bills"),
        graph("Age by source",
              "Since the newest complete day of each source. Alerts at three days.",
              [(cost("data_age_seconds", "source"), "{{source}}")], unit="s", line_at=3 * 86400,
              minimum=0),
        graph("Rows read", "In an hour. Bad rows don't stop an import.", [
            ("sum by (outcome) (increase(regionmesh_cost_rows_imported_total[1h]))", "{{outcome}}")
        ], minimum=0),
        graph("Imports", "In an hour, by outcome.",
              [("sum by (outcome) (increase(regionmesh_cost_imports_total[1h]))", "{{outcome}}")],
              minimum=0),
        graph("Export polls", "In an hour, by outcome.", [
            ("sum by (outcome) (increase(regionmesh_cost_export_polls_total[1h]))", "{{outcome}}")
        ], minimum=0, w=12),
        graph("Open anomalies", "In bills and live cost.",
              [(cost("anomalies", "plane"), "{{plane}}")], minimum=0, w=12)
    ]


CHOOSE = [DATASOURCE, REGION, AGENT]
DASHBOARDS = [
    dashboard("global", "Global", "All regions: verdicts, traffic, leader, versions.", [DATASOURCE],
              global_panels()),
    dashboard("region", "Region", "A region's agents: actors, connections, register, process.",
              CHOOSE, region_panels()),
    dashboard("replication", "Replication", "Replication of models to every region.", CHOOSE,
              replication_panels()),
    dashboard("dns", "DNS", "Queries and answers, plans, zones.", CHOOSE, dns_panels()),
    dashboard("serving", "Serving", "Inference: load, errors, latency, error budget.", CHOOSE,
              serving_panels()),
    dashboard("cost", "Cost", "Cost of the mesh: live, billed, forecast.",
              [DATASOURCE, REGION, CURRENCY], cost_panels(), since="now-7d")
]


def main():
    check, stale = "--check" in sys.argv[1:], []
    for uid, made in DASHBOARDS:
        path, text = HERE / f"{uid}.json", json.dumps(made, indent=2, ensure_ascii=False) + "\n"
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            stale.append(path.name)
    if stale:
        sys.exit(f"outdated: {', '.join(stale)}; run monitoring/grafana/generate.py")


main()
