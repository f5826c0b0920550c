"""What the web processes add to Django: middleware, probes, throttles and error reports."""
