"""Replace outdated values in deliveries that later changes of their record have overtaken.

`prepare.present_of` is the entry point; `timeline` and `fields` are pure.
"""
