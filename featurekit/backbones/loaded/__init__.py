"""What is asked of networks once they are loaded: words of prompts, changes since the loading.

Functions of stock modules; no family is known here. Read ``prompts.py`` first.
"""
