"""``featurekit doctor``: what is wrong with an installation, and how to mend it.

Checks of packages, versions, weights and plugins live here, and they mend nothing themselves.
Read ``report.py`` first.
"""
