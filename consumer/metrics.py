"""Prometheus metrics of a listener process."""

from prometheus_client import Counter, Gauge, Histogram

RECORDED = Counter("cdc_changes_recorded", "Changes recorded.", ["listener"])
REPEATED = Counter("cdc_changes_repeated", "Changes that were recorded before.", ["listener"])
QUARANTINED = Counter("cdc_messages_quarantined", "Messages kept raw.", ["listener"])
PUBLISHED = Counter("cdc_deliveries_published", "Deliveries handed to the broker.")
OPENED = Counter("cdc_stream_opened", "Times the stream was opened.", ["listener"])
RECEIVING = Gauge("cdc_listener_receiving", "1 while the listener receives.", ["listener"])
BATCH_SECONDS = Histogram(
    "cdc_record_seconds", "From receipt to the recording of a batch's first change.", ["listener"]
)
