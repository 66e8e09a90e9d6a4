"""Markets: feeds that deliver events in event-time order, and the books that are made from them."""
