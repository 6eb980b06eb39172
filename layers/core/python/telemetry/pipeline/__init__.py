"""The worker's side: five steps, the order they run in, the drain loop, and failure handling in one place."""
