"""What a desk starts by itself: the Redis server, the supervisor of its processes, the file that says where it is."""
