"""The command line: a router, and one file for each subcommand.

Words, help, tables and exit codes live here; what a command does is in the room it belongs to.
Read ``router.py`` first.
"""
