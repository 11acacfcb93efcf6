"""The command line: how soon it is there, and how the threads that it sets up wait.

Each figure is of processes of their own. Read ``startup.py`` first.
"""
