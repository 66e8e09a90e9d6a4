"""The Redis side of trading: keys, atomic steps, the documents' JSON and hashes, the outbox. No Django."""
