"""Images through models: decode workers, batches, devices, and the loops that join them."""
