"""The rows of the embedded model's card.

One file for each figure, its demand beside it; the card itself is ``card.py``. Read
``card_requirements.py`` first.
"""
