"""Ray's workers beside plain processes, and stores whose workers and drivers are killed.

Clusters are on loopback, and end with the script. Read ``workers.py`` first.
"""
