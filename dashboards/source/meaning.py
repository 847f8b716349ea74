"""Which colour means what, on every dashboard.

A value has one colour wherever it is drawn, and values that are drawn together have different ones. The first eight are the
palette of Okabe and Ito, which the colour-blind can tell apart; what does not fit into eight borrows from Paul Tol's "muted".
"""

GREEN, VERMILION, BLUE, SKY = "#009E73", "#D55E00", "#0072B2", "#56B4E9"
ORANGE, YELLOW, PURPLE, GREY = "#E69F00", "#F0E442", "#CC79A7", "#999999"
INDIGO, FOREST, WINE, OLIVE = "#332288", "#117733", "#882255", "#999933"

# By what is drawn together: the label's values, or the names in a legend.
COLOURS = {
    "states": {
        "pending": YELLOW, "assigned": ORANGE, "running": BLUE, "publishing": SKY, "paused": GREY,
        "completed": GREEN, "failed": VERMILION, "canceled": PURPLE,
    },
    "throughput": {"submitted": INDIGO, "completed": GREEN, "failed": VERMILION, "canceled": PURPLE},
    "priorities": {"high": VERMILION, "medium": ORANGE, "low": SKY},
    "queues": {"live": PURPLE, "default": BLUE, "batch": GREEN},
    "nodes": {"available": GREEN, "busy": BLUE, "draining": ORANGE, "offline": GREY, "quarantined": VERMILION},
    "failures": {
        "user_error": GREY, "input_error": SKY, "network_error": BLUE, "resource_error": ORANGE, "timeout": YELLOW,
        "runtime_error": VERMILION, "platform_error": PURPLE, "capability_mismatch": GREEN,
    },
    "retries": {
        "user_error": GREY, "input_error": SKY, "network_error": BLUE, "resource_error": ORANGE, "timeout": YELLOW,
        "runtime_error": VERMILION, "platform_error": PURPLE, "capability_mismatch": GREEN,
        "asked": INDIGO, "handed_back": FOREST, "worker_lost": WINE,
    },
    "waiting": {
        "in_queue": GREY, "workers_full": BLUE, "gpus_full": SKY, "held_by_policy": PURPLE, "held_by_user": YELLOW,
        "backing_off": ORANGE, "no_worker": VERMILION, "no_encoder": WINE, "no_gpu": INDIGO, "no_label": FOREST, "too_large": GREEN,
    },
    "ends": {"completed": GREEN, "failed": VERMILION, "canceled": PURPLE, "lost": ORANGE, "handed_back": FOREST},
    "outcomes": {
        "completed": GREEN, "published": SKY, "failed": VERMILION, "publish_failed": ORANGE, "canceled": PURPLE,
        "handed_back": FOREST, "revoked": GREY,
    },
    "rounds": {"success": GREEN, "no_jobs": GREY, "error": VERMILION},
    "rulers": {"wasm": BLUE, "native": GREY, "fallback": VERMILION},
    "stages": {
        "plan": BLUE, "rank": SKY, "sync": GREEN, "init": YELLOW, "answer": VERMILION, "stall": ORANGE, "stuck": PURPLE,
    },
    "checks": {
        "plan": BLUE, "rank": SKY, "sync": GREEN, "init": YELLOW, "answer": VERMILION, "compile": GREY, "link": INDIGO,
        "read": FOREST, "settings": WINE, "validate": OLIVE,
    },
    "refusals": {
        "excluded": GREY, "gpu_full": SKY, "gpu_invalid": INDIGO, "no_capacity": BLUE, "not_pending": YELLOW,
        "requirement_not_met": VERMILION, "unknown_job": WINE, "unknown_worker": FOREST, "worker_unavailable": ORANGE,
    },
    "shadow": {"same_node": GREEN, "other_node": ORANGE, "would_place": SKY, "would_wait": VERMILION},
    "spool": {"input": SKY, "output": GREEN, "incomplete": ORANGE, "most": GREY},
    "spool refusals": {"checksum": VERMILION, "disk": ORANGE, "file_size": SKY, "quota": PURPLE},
    "deliveries": {"delivered": GREEN, "failed": VERMILION, "given_up": WINE},
    "quantiles": {"p50": SKY, "p95": BLUE, "p99": VERMILION},
    "slots": {"all": GREY, "used": BLUE},
    "windows": {"5 minutes": SKY, "1 hour": BLUE, "6 hours": ORANGE},
}
