"""The demo's shop: a merchant as there are many, in a few pages. It knows the gateway by its public API only."""
