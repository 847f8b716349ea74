"""Makes Grafana's JSON (the classic form, which Grafana 10 to 13 import) of what the dashboards' files say.

Everything that all panels have in common is decided here: the data source, the filters by `job`, `instance` and `node`, the
layout, the legends and the colours. A panel's own file says only what is its own.
"""

import re

from meaning import COLOURS, GREEN

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24

# Names of metrics in a query, recorded ones too, and the braces behind them.
_METRIC = re.compile(r"(?<![\w:\"])((?:[a-z_]+:)?(?:ffrtmp|process)_[a-z0-9_]+(?::[a-z0-9_]+)?)(?:\{([^}]*)\})?")
# Those that only workers have.
_OF_WORKERS = re.compile(r"^ffrtmp_(worker_|job_(in|out)put_bytes_total)")


def filtered(expr, by_node):
    """The query with the dashboard's variables in every selector."""

    def add(match):
        name, given = match.group(1), match.group(2)
        matchers = ['job=~"$job"', 'instance=~"$instance"']
        if by_node and _OF_WORKERS.match(name):
            matchers.append('node_id=~"$node"')
        if given:
            matchers.append(given)
        return name + "{" + ", ".join(matchers) + "}"

    return _METRIC.sub(add, expr)


def query(expr, legend):
    """One query of a panel. `legend` names its series: `{{label}}` is the label's value."""
    return {"expr": expr, "legend": legend}


def panel(title, kind, size, queries, *, shows, normal, otherwise, unit="short", colours=None, calcs=("lastNotNull",), right=False,
          axis="", bars=False, stacked=False, least=0, most=None, steps=(), empty=None, values=None, log=False, instant=None,
          text_mode="auto", decimals=None):
    """A panel. `size` is its width of 24 and its height; `steps` are thresholds (from, colour); `empty` is what it says where there can be
    no data; `values` maps numbers to (text, colour); `colours` is a key of COLOURS."""
    if instant is None:
        instant = kind in ("stat", "table")
    defaults = {
        "unit": unit,
        "color": {"mode": "palette-classic" if kind in ("timeseries", "state-timeline") else "thresholds"},
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": GREEN, "value": None}] + [{"color": colour, "value": at} for at, colour in steps],
        },
        "mappings": [],
    }
    if least is not None and kind != "state-timeline":
        defaults["min"] = least
    if most is not None:
        defaults["max"] = most
    if decimals is not None:
        defaults["decimals"] = decimals
    if empty:
        defaults["noValue"] = empty
    if values:
        defaults["mappings"] = [{
            "type": "value",
            "options": {str(value): {"text": text, "color": colour, "index": index}
                        for index, (value, (text, colour)) in enumerate(values.items())},
        }]
    options = {}
    if kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "bars" if bars else "line",
            "lineInterpolation": "linear",
            "lineWidth": 0 if bars else 2,
            "fillOpacity": 100 if bars else 40 if stacked else 10,
            "barAlignment": 0,
            "gradientMode": "none",
            "showPoints": "never",
            "pointSize": 4,
            "spanNulls": False,
            "stacking": {"group": "A", "mode": "normal" if bars or stacked else "none"},
            "axisPlacement": "auto",
            "axisLabel": axis,
            "scaleDistribution": {"type": "log", "log": 10} if log else {"type": "linear"},
            "thresholdsStyle": {"mode": "dashed" if steps else "off"},
        }
        options = {
            "legend": {"showLegend": True, "displayMode": "table", "placement": "right" if right else "bottom", "calcs": list(calcs)},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
    elif kind in ("stat", "gauge"):
        options = {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "orientation": "auto",
        }
        if kind == "stat":
            options |= {"textMode": text_mode, "colorMode": "background" if values else "value", "graphMode": "none", "justifyMode": "auto"}
        else:
            options |= {"showThresholdLabels": False, "showThresholdMarkers": True}
    elif kind == "state-timeline":
        defaults["custom"] = {"lineWidth": 0, "fillOpacity": 80}
        options = {
            "mergeValues": True, "showValue": "never", "alignValue": "left", "rowHeight": 0.9,
            "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "single", "sort": "none"},
        }
    else:
        raise ValueError(f"{title}: what is a {kind}?")
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in (COLOURS[colours].items() if colours else ())
    ]
    return {
        "size": size,
        "queries": queries,
        "instant": instant,
        "json": {
            "type": kind,
            "title": title,
            "description": f"{shows}\n\n**Normal:** {normal}\n\n**Otherwise:** {otherwise}",
            "datasource": DATASOURCE,
            "fieldConfig": {"defaults": defaults, "overrides": overrides},
            "options": options,
        },
    }


def row(title):
    """A heading above the panels that follow."""
    return {"row": title}


def _targets(queries, instant, by_node):
    return [
        {
            "refId": chr(ord("A") + index),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": filtered(query["expr"], by_node),
            "legendFormat": query["legend"],
            "instant": instant,
            "range": not instant,
        }
        for index, query in enumerate(queries)
    ]


def _laid_out(items, by_node):
    """Left to right, then below what is there; a row begins on a line of its own."""
    panels, x, y, below = [], 0, 0, 0
    for number, item in enumerate(items, start=1):
        if "row" in item:
            x, y = 0, below
            panels.append({"id": number, "type": "row", "title": item["row"], "collapsed": False, "panels": [],
                           "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y}})
            y = below = y + 1
            continue
        width, height = item["size"]
        if x + width > COLUMNS:
            x, y = 0, below
        targets = _targets(item["queries"], item["instant"], by_node)
        panels.append({"id": number, "gridPos": {"h": height, "w": width, "x": x, "y": y}, **item["json"], "targets": targets})
        x += width
        below = max(below, y + height)
    return panels


def _variable(name, query):
    return {
        "name": name, "label": name, "type": "query", "datasource": DATASOURCE, "definition": query, "query": query,
        "multi": True, "includeAll": True, "allValue": ".+", "current": {"text": ["All"], "value": ["$__all"]},
        "refresh": 2, "sort": 1, "regex": "", "hide": 0, "options": [], "skipUrlSync": False,
    }


def _annotation(name, colour, expr, title, text):
    return {
        "name": name, "enable": True, "hide": False, "iconColor": colour, "datasource": DATASOURCE, "expr": expr, "step": "10s",
        "titleFormat": title, "textFormat": text, "tagKeys": "",
    }


def dashboard(uid, title, about, items, *, span, refresh, of_workers):
    """A dashboard. `of_workers`: it shows single workers, so that they can be chosen by name."""
    known_by = "ffrtmp_build_info" if of_workers else "ffrtmp_master_uptime_seconds"
    variables = [
        {
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "regex": "", "refresh": 1, "hide": 0,
            "multi": False, "includeAll": False, "current": {"text": "VictoriaMetrics", "value": "DS_VICTORIAMETRICS"}, "options": [],
            "skipUrlSync": False,
        },
        _variable("job", f"label_values({known_by}, job)"),
        _variable("instance", f'label_values({known_by}{{job=~"$job"}}, instance)'),
    ]
    if of_workers:
        variables.append(_variable("node", 'label_values(ffrtmp_worker_uptime_seconds{job=~"$job", instance=~"$instance"}, node_id)'))
    rules = filtered("ffrtmp_policy_info unless on (name, digest) ffrtmp_policy_info offset 1m", False)
    started = filtered("ffrtmp_master_uptime_seconds < 60", False)
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["ffrtmp"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "timezone": "",
        "time": {"from": f"now-{span}", "to": "now"},
        "refresh": refresh,
        "timepicker": {},
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "weekStart": "",
        "links": [{
            "type": "dashboards", "title": "ffrtmp", "tags": ["ffrtmp"], "asDropdown": False, "includeVars": True, "keepTime": True,
            "targetBlank": False, "icon": "external link", "tooltip": "", "url": "",
        }],
        "templating": {"list": variables},
        "annotations": {"list": [
            {
                "name": "Annotations & Alerts", "builtIn": 1, "type": "dashboard", "enable": True, "hide": True,
                "iconColor": "rgba(0, 211, 255, 1)", "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            },
            _annotation("Policy", "#CC79A7", rules, "{{name}} {{version}} rules", "The scheduling policy with the digest {{digest}} began to rule."),
            _annotation("Start of the master", "#999999", started, "The master started", "{{instance}}"),
        ]},
        "panels": _laid_out(items, of_workers),
    }
