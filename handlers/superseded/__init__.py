"""Deliveries that later changes of their record have overtaken: what their handler gets instead.

`prepare.present_of` is the entry point; `timeline` and `fields` are pure.
"""
