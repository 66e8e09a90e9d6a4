"""The project: settings, addresses, schedule, embedded services. Importing it imports nothing else (layers)."""
