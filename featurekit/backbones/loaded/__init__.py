"""What is asked of networks once they are loaded: words of prompts, changes since the loading.

Also how layers store their weights, and where an update of them has its effect. Functions of stock
modules; no family is known here. Read ``model.py`` first.
"""
