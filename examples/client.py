#!/usr/bin/env python3
"""Classifies a flower with the model iris. Needs only Python's standard library.

An inference changes nothing, so it is safe to repeat. This client repeats it when no server answers
and when one answers 502, 503 or 504. It doubles the pause each time, up to 2 s, waits at least as
long as `retry-after` says, and adds jitter so that clients don't return in step.
"""

import argparse
import http.client
import json
import random
import sys
import time
import urllib.error
import urllib.request

CLASSES = ["setosa", "versicolor", "virginica"]
RETRYABLE = {502, 503, 504}
FIRST_PAUSE_S = 0.1
MAX_PAUSE_S = 2.0
ATTEMPT_TIMEOUT_S = 10.0


def inference(url, measurements):
    """The request, as the Open Inference Protocol defines it."""
    tensor = {
        "name": "measurements",
        "shape": [1, len(measurements)],
        "datatype": "FP32",
        "data": measurements,
    }
    body = json.dumps({"inputs": [tensor]}).encode()
    headers = {"content-type": "application/json"}
    return urllib.request.Request(f"{url}/v2/models/iris/infer", body, headers)


def ask(request, deadline_s):
    """Returns the answer and its region; raises the last error after the deadline."""
    end = time.monotonic() + deadline_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            timeout_s = max(0.1, min(ATTEMPT_TIMEOUT_S, end - time.monotonic()))
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return json.load(answer), answer.headers.get("x-regionmesh-region", "unknown")
        except urllib.error.HTTPError as error:
            if error.code not in RETRYABLE:
                raise
            failure = error
            retry_after_s = float(error.headers.get("retry-after") or 0)
        except (OSError, http.client.HTTPException) as error:
            failure = error
            retry_after_s = 0.0

        wait_s = max(pause_s, retry_after_s) * random.uniform(1.0, 1.25)
        if time.monotonic() + wait_s >= end:
            raise failure
        print(f"{failure}; retrying in {wait_s:.1f} s", file=sys.stderr)
        time.sleep(wait_s)
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", default="http://localhost:8080", help="the serving endpoint")
    parser.add_argument(
        "--deadline", type=float, default=30.0, metavar="SECONDS", help="when to stop retrying"
    )
    parser.add_argument(
        "--flower", nargs=4, type=float, default=[6.3, 3.3, 6.0, 2.5], metavar="CM",
        help="length and width of a sepal, then of a petal",
    )
    options = parser.parse_args()

    try:
        answer, region = ask(inference(options.url, options.flower), options.deadline)
    except urllib.error.HTTPError as error:
        sys.exit(f"error: {error}: {error.read(2000).decode(errors='replace')}")
    except (OSError, http.client.HTTPException) as error:
        sys.exit(f"error: {options.url}: {error}")

    probabilities = answer["outputs"][0]["data"]
    best = max(range(len(CLASSES)), key=lambda index: probabilities[index])
    print(f"{CLASSES[best]} {probabilities[best]:.3f} (iris@{answer['model_version']}, {region})")


if __name__ == "__main__":
    main()
