"""What depends on the device is measured on it, at load, and remembered."""
