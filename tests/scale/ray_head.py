"""A cluster of one node on loopback, for as long as the standard input is open.

``python ray_head.py CPUS`` prints its address.
"""

import sys

import ray

from featurekit.scale.ray_here import start_here

if __name__ == "__main__":
    start_here(int(sys.argv[1]))
    sys.stdout.write(f"{ray.get_runtime_context().gcs_address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    ray.shutdown()
