"""The audit trail: what people and the desk did, chained, proven and shown."""
