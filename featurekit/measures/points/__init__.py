"""Points and labels of one picture found in another.

Correspondence on scenes, PCK on data sets, labels carried over. Read ``correspondence.py`` first.
"""
