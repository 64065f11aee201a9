"""kopf handlers: what the controller does when one of our resources changes."""
