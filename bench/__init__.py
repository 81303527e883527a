"""Measurements of Pilotage on the machine where they run: one module per question, `python -m bench.NAME`.

Nothing here passes or fails: figures are printed beside their goal, for `docs/performance.md`.
"""
