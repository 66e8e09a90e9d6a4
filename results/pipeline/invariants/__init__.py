"""What must always be so of a desk: pure checks over what Redis and the durable rows say."""
