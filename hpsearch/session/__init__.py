"""One run of the engine on one study: claims, reports, checkpoints and leases around it."""
