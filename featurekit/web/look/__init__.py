"""The tab Look: where else a feature is, how a tap looks, where a word is seen.

Read ``tab.py`` first.
"""
