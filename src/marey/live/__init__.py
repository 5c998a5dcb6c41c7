"""A camera becomes an alarm: feeds, triggers, sinks, recorder, and the loop that joins them."""
