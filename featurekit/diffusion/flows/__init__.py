"""What diffusers and its pipelines say about flow matching: levels of a run, settings of a file.

Plain numbers in and out; ``FlowTable`` and ``FlowSchedule`` are made of them. Read ``sigmas.py``
first.
"""
