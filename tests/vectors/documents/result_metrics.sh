HSET result_metrics:123e4567-e89b-12d3-a456-426614174000 \
    execution_latency_ms 120 \
    broker_latency_ms 50 \
    network_latency_ms 20 \
    slippage -0.00005 \
    created_at "2025-03-22T10:16:05Z"
